/* The order of frames decides, however fast each is served: resumes, subscriptions, credentials. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Principal } from '../../../src/domain/principal.js';
import { HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, away, ORIGIN, requestOf } from '../turn/turn-harness.js';
import { type Connected, ConnectionHarness, Talker, tell, until } from './connection-harness.js';

let harness: ConnectionHarness;
afterEach(() => harness.close());

const TERMINAL = /^response\.(completed|incomplete|failed)$/u;
const round = (): Promise<void> => new Promise(setImmediate);

/** A gate before the `number`th call of an asynchronous method, counted from 1. */
function hold<Name extends string>(
  target: Record<Name, (...args: never[]) => Promise<unknown>>,
  name: Name,
  number = 1,
): { readonly reached: Promise<void>; open(fails?: Error): void } {
  const call = target[name].bind(target) as (...args: unknown[]) => Promise<unknown>;
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<Error | undefined>();
  let calls = 0;
  target[name] = async (...args: unknown[]) => {
    calls += 1;
    if (calls === number) {
      reached.resolve();
      const fails = await opened.promise;
      if (fails !== undefined) throw fails;
    }
    return call(...args);
  };
  return { reached: reached.promise, open: (fails) => opened.resolve(fails) };
}

/** What `hold` takes: the methods of a part, by name. */
function methods<Name extends string>(part: object): Record<Name, (...args: never[]) => Promise<unknown>> {
  // The names that tests give are those of asynchronous methods.
  return part as Record<Name, (...args: never[]) => Promise<unknown>>;
}

const ofType = ({ socket }: Connected, type: string): Readonly<Record<string, unknown>>[] =>
  socket.frames.filter((frame) => frame['type'] === type);

describe('resumes of one response', () => {
  async function running(): Promise<string> {
    harness = new ConnectionHarness({ answers: [[say('Hello'), HANG]], settings: { maxLanes: 8 } });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => (await harness.types(responseId)).includes('output_text.delta'));
    return responseId;
  }

  it('leaves cursor and lane to the later resume when the earlier one is served more slowly [RES-6, WS-3]', async () => {
    const responseId = await running();
    const client = harness.connect();
    const slow = hold(methods<'open'>(harness.reader), 'open');
    tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: 'early' });
    tell(client, { type: 'sluice:resume', response_id: responseId, starting_after: 1, stream_id: 'late' });
    await slow.reached;
    for (let i = 0; i < 5; i++) await round();
    slow.open();
    await until(() => ofType(client, 'sluice:resumed').length === 2);
    await harness.turns.cancel(ALICE, responseId);
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(ofType(client, 'sluice:resumed').map((frame) => frame['stream_id'])).toEqual(['early', 'late']);
    const events = client.socket.frames.filter((frame) => 'sequence_number' in frame);
    expect(new Set(events.map((frame) => frame['stream_id']))).toEqual(new Set(['late']));
    expect(events[0]?.['sequence_number']).toBe(2);
  });

  it('keeps the cursor of the earlier resume when the later one is refused [RES-5, RES-6]', async () => {
    const responseId = await running();
    const client = harness.connect();
    tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: 'early' });
    await until(() => client.socket.types.includes('response.output_text.delta'));
    tell(client, { type: 'sluice:resume', response_id: responseId, starting_after: 99, stream_id: 'late' });
    await until(() => client.socket.types.includes('error'));
    await harness.turns.cancel(ALICE, responseId);
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(ofType(client, 'error')[0]).toMatchObject({ stream_id: 'late', error: { code: 'invalid_cursor' } });
    expect(client.socket.frames.at(-1)).toMatchObject({ stream_id: 'early' });
  });

  it('holds one place in a lane for repeated resumes, and cancels them with one call [CAN-1, RES-8]', async () => {
    const responseId = await running();
    const client = harness.connect();
    const frames = { ...client };
    for (let i = 0; i < 200; i++) {
      tell(frames, { type: 'sluice:resume', response_id: responseId, starting_after: 1, stream_id: 'lane' });
      if (i % 20 === 0) await round();
    }
    await until(() => ofType(client, 'sluice:resumed').length === 200);
    const { cancel } = harness.turns;
    let calls = 0;
    harness.turns.cancel = (...args) => {
      calls += 1;
      return cancel.apply(harness.turns, args);
    };
    tell(client, { type: 'response.cancel', stream_id: 'lane' });
    tell(client, { type: 'response.cancel', stream_id: 'lane' });
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(calls).toBe(1);
    tell(client, { type: 'response.create', input: 'next', stream_id: 'lane' });
    await until(() => client.socket.types.includes('response.created'));
  });

  it('frees the first lane when a later resume moves the response to another [RES-6, RES-8]', async () => {
    const responseId = await running();
    const client = harness.connect();
    tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: 'left' });
    tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: 'right' });
    tell(client, { type: 'response.create', input: 'next', stream_id: 'left' });
    await until(() => ofType(client, 'response.created').some((frame) => frame['stream_id'] === 'left'));
    expect(client.socket.types.some((type) => TERMINAL.test(type))).toBe(false);
  });
});

describe('subscribes and unsubscribes of one conversation', () => {
  it('answers subscribes and unsubscribes in order when one is refused [WS-3]', async () => {
    const client = harness.connect();
    tell(client, { type: 'sluice:subscribe', conversation: 'conv_unknown' });
    tell(client, { type: 'sluice:unsubscribe', conversation: 'conv_unknown' });
    await until(() => client.socket.types.length === 2);
    expect(client.socket.types).toEqual(['error', 'sluice:unsubscribed']);
  });

  it('watches nothing when the last frame unsubscribes [SUB-3, WS-3]', async () => {
    harness = new ConnectionHarness();
    const conversation = await harness.conversation();
    const client = harness.connect();
    const slow = hold(methods<'watch'>(harness.parts.announcements), 'watch');
    tell(client, { type: 'sluice:subscribe', conversation });
    tell(client, { type: 'sluice:unsubscribe', conversation });
    await slow.reached;
    slow.open();
    await until(() => client.socket.types.includes('sluice:unsubscribed'));
    await harness.play(requestOf('Hi', { conversation }));
    await round();
    expect(client.socket.types).toEqual(['sluice:subscribed', 'sluice:unsubscribed']);
  });

  it('answers every subscribe and unsubscribe in its place [SUB-1, WS-3]', async () => {
    harness = new ConnectionHarness({ settings: { maxLanes: 4 } });
    const conversation = await harness.conversation();
    const client = harness.connect();
    const names = ['a', 'b', 'c'];
    for (const stream_id of names) tell(client, { type: 'sluice:subscribe', conversation, stream_id });
    tell(client, { type: 'sluice:unsubscribe', conversation });
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'd' });
    await until(() => client.socket.frames.length === 5);
    expect(client.socket.frames.map((frame) => frame['stream_id'] ?? frame['type'])).toEqual([
      ...names,
      'sluice:unsubscribed',
      'd',
    ]);
    await harness.play(requestOf('Hi', { conversation }));
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(ofType(client, 'sluice:turn').map((frame) => frame['stream_id'])).toEqual(['d']);
  });

  it('keeps the newer subscription when an older one fails late [SUB-3]', async () => {
    harness = new ConnectionHarness({ settings: { maxLanes: 4 } });
    const conversation = await harness.conversation();
    const client = harness.connect();
    const slow = hold(methods<'get'>(harness.parts.conversations), 'get');
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'old' });
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'new' });
    await slow.reached;
    for (let i = 0; i < 5; i++) await round();
    slow.open(away());
    await until(() => client.socket.types.includes('sluice:subscribed'));
    expect(client.socket.frames[0]).toMatchObject({ type: 'error', stream_id: 'old' });
    await harness.play(requestOf('Hi', { conversation }));
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(ofType(client, 'sluice:turn').map((frame) => frame['stream_id'])).toEqual(['new']);
  });

  it('keeps the older subscription when a newer one fails [SUB-3]', async () => {
    harness = new ConnectionHarness({ settings: { maxLanes: 4 } });
    const conversation = await harness.conversation();
    const client = harness.connect();
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'old' });
    await until(() => client.socket.types.includes('sluice:subscribed'));
    const { members } = harness.plain.claim;
    harness.plain.claim.members = () => Promise.reject(away());
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'new' });
    await until(() => client.socket.types.includes('error'));
    harness.plain.claim.members = members;
    await harness.play(requestOf('Hi', { conversation }));
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(ofType(client, 'sluice:turn').map((frame) => frame['stream_id'])).toEqual(['old']);
  });
});

describe('a subscription beside resumes', () => {
  async function watchedAndRunning(): Promise<{ conversation: string; responseId: string }> {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]], settings: { maxLanes: 8 } });
    const conversation = await harness.conversation();
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    return { conversation, responseId };
  }

  it('announces a response that was resumed before it, whose events stay in the lane of the resume [SUB-1]', async () => {
    const { conversation, responseId } = await watchedAndRunning();
    const client = harness.connect();
    const slow = hold(methods<'open'>(harness.reader), 'open');
    tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: 'mine' });
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'watch' });
    await slow.reached;
    await until(() => client.socket.types.includes('sluice:subscribed'));
    for (let i = 0; i < 5; i++) await round();
    slow.open();
    await until(() => client.socket.types.includes('sluice:turn'));
    await harness.turns.cancel(ALICE, responseId);
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(ofType(client, 'sluice:turn')).toMatchObject([{ response_id: responseId, stream_id: 'watch' }]);
    const events = client.socket.frames.filter((frame) => 'sequence_number' in frame);
    expect(events.map((frame) => frame['sequence_number'])).toEqual(events.map((_, i) => i));
    expect(new Set(events.map((frame) => frame['stream_id']))).toEqual(new Set(['mine']));
  });

  it('follows the response itself when the resume before it was refused [SUB-1]', async () => {
    const { conversation, responseId } = await watchedAndRunning();
    const client = harness.connect();
    tell(client, { type: 'sluice:resume', response_id: responseId, starting_after: 99, stream_id: 'mine' });
    tell(client, { type: 'sluice:subscribe', conversation, stream_id: 'watch' });
    await until(() => client.socket.types.includes('response.output_text.delta'));
    expect(client.socket.frames.at(-1)?.['stream_id']).toBe('watch');
  });

  it('follows no more responses than a connection may, with an error [RES-6, SUB-1]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]], settings: { maxLanes: 80 }, maxWaiting: 80 });
    const conversation = await harness.conversation();
    for (let i = 0; i < 66; i++) await harness.turns.create(ALICE, requestOf(`Hi ${i}`, { conversation }), ORIGIN);
    const client = harness.connect();
    tell(client, { type: 'sluice:subscribe', conversation });
    await until(() => ofType(client, 'error').length === 2 && ofType(client, 'sluice:turn').length === 64);
    expect(client.connection.outbound.followings.size).toBe(64);
    expect(ofType(client, 'error')[0]).toMatchObject({ error: { code: 'too_many_responses' } });
  });
});

describe('a new credential', () => {
  const NEW: Principal = { ...ALICE, credential: 'key-2' };

  function connect(provider = new ScriptedProvider([[say('a')]])): Connected {
    harness = new ConnectionHarness({ provider });
    return harness.connect();
  }

  it('uses a new credential for the frame behind it, however long the check takes [WS-16, WS-3]', async () => {
    const client = connect();
    const callers: string[] = [];
    const { create } = harness.turns;
    harness.turns.create = (caller, ...rest) => {
      callers.push(caller.credential);
      return create.call(harness.turns, caller, ...rest);
    };
    const checked = Promise.withResolvers<Principal>();
    harness.parts.authenticator.authenticate = () => checked.promise;
    tell(client, { type: 'response.create', input: 'before' });
    tell(client, { type: 'sluice:auth', token: 'new' });
    tell(client, { type: 'response.create', input: 'after', stream_id: 'b' });
    tell(client, { type: 'sluice:ping', id: 1 });
    expect(client.connection.reading).toBe(false);
    expect(client.socket.types).not.toContain('sluice:pong');
    checked.resolve(NEW);
    await until(() => client.socket.types.filter((type) => TERMINAL.test(type)).length === 2);
    expect(callers).toEqual(['key-1', 'key-2']);
    expect(client.connection.reading).toBe(true);
    expect(client.socket.types.indexOf('sluice:authenticated')).toBeLessThan(
      client.socket.types.indexOf('sluice:pong'),
    );
  });

  it.each([
    ['is refused', () => Promise.reject(new SluiceError('invalid_api_key', 'unable to authenticate; wrong key'))],
    ['belongs to another owner', () => Promise.resolve({ ...NEW, owner: 'acme/bob', user: 'bob' })],
  ])('leaves the old one for the next frame if it %s [WS-16]', async (_what, authenticate) => {
    const client = connect();
    const callers: string[] = [];
    const { create } = harness.turns;
    harness.turns.create = (caller, ...rest) => {
      callers.push(caller.credential);
      return create.call(harness.turns, caller, ...rest);
    };
    harness.parts.authenticator.authenticate = authenticate;
    tell(client, { type: 'sluice:auth', token: 'new' });
    tell(client, { type: 'response.create', input: 'after' });
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(client.socket.types[0]).toBe('error');
    expect(callers).toEqual(['key-1']);
  });
});

describe('a socket that cancels on disconnect', () => {
  it('cancels what it created, not what it resumed [WS-13]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const { responseId: other } = await harness.turns.create(ALICE, requestOf('of another device'), ORIGIN);
    const client = harness.connect({ cancelOnDisconnect: true });
    tell(client, { type: 'sluice:resume', response_id: other, stream_id: 'r' });
    tell(client, { type: 'response.create', input: 'mine' });
    await until(() => ofType(client, 'response.output_text.delta').length === 2);
    client.socket.terminate();
    await until(() => harness.turns.count === 1);
    await round();
    expect(await harness.reader.status(ALICE, other)).toBe('running');
  });
});

describe('a create that joins a response by its idempotency key', () => {
  const CREATE = { type: 'response.create', input: 'Hi', 'sluice:idempotency_key': 'key' };

  async function joinable(): Promise<{ first: Connected; responseId: string }> {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]], settings: { maxLanes: 8 } });
    const first = harness.connect();
    tell(first, CREATE);
    await until(() => first.socket.types.includes('response.output_text.delta'));
    const { id: responseId } = ofType(first, 'response.created')[0]?.['response'] as { id: string };
    return { first, responseId };
  }

  it('leaves the response running when its socket closes with on_disconnect=cancel [WS-13]', async () => {
    const { responseId } = await joinable();
    const second = harness.connect({ cancelOnDisconnect: true });
    tell(second, CREATE);
    await until(() => second.socket.types.includes('response.output_text.delta'));
    second.socket.terminate();
    for (let i = 0; i < 20; i++) await round();
    expect(harness.turns.count).toBe(1);
    expect(await harness.reader.currentStatus(ALICE, responseId)).toBe('in_progress');
  });

  it('leaves the response running when its socket closes before the response is known [WS-13]', async () => {
    await joinable();
    const second = harness.connect({ cancelOnDisconnect: true });
    const slow = hold(methods<'claim'>(harness.plain.keys), 'claim');
    tell(second, CREATE);
    await slow.reached;
    second.socket.terminate();
    slow.open();
    for (let i = 0; i < 20; i++) await round();
    expect(harness.turns.count).toBe(1);
  });

  it('cancels the response when the client cancels its lane before the response is known [CAN-1]', async () => {
    await joinable();
    const second = harness.connect();
    const slow = hold(methods<'claim'>(harness.plain.keys), 'claim');
    tell(second, { ...CREATE, stream_id: 'lane' });
    await slow.reached;
    tell(second, { type: 'response.cancel', stream_id: 'lane' });
    slow.open();
    await until(() => second.socket.types.some((type) => TERMINAL.test(type)));
    expect(harness.turns.count).toBe(0);
  });

  it('leaves cursor and lane to a resume sent after it and served before it [RES-6, WS-3]', async () => {
    const { responseId } = await joinable();
    const second = harness.connect();
    const slow = hold(methods<'claim'>(harness.plain.keys), 'claim');
    tell(second, { ...CREATE, stream_id: 'create' });
    tell(second, { type: 'sluice:resume', response_id: responseId, starting_after: 1, stream_id: 'resume' });
    await slow.reached;
    await until(() => second.socket.types.includes('response.output_text.delta'));
    slow.open();
    for (let i = 0; i < 20; i++) await round();
    tell(second, { type: 'response.create', input: 'next', stream_id: 'create' });
    await harness.turns.cancel(ALICE, responseId);
    await until(() => ofType(second, 'response.created').length === 1);
    const events = second.socket.frames.filter(
      (frame) => frame['stream_id'] === 'resume' && 'sequence_number' in frame,
    );
    expect(events.map((frame) => frame['sequence_number'])).toEqual(events.map((_, i) => i + 2));
    expect(events.at(-1)?.['type']).toBe('response.incomplete');
    expect(ofType(second, 'response.created')[0]).toMatchObject({ stream_id: 'create' });
  });

  it('takes cursor and lane when it was sent after a resume that is served more slowly [RES-6, WS-3]', async () => {
    const { responseId } = await joinable();
    const second = harness.connect();
    const slow = hold(methods<'open'>(harness.reader), 'open');
    tell(second, { type: 'sluice:resume', response_id: responseId, starting_after: 1, stream_id: 'resume' });
    tell(second, { ...CREATE, stream_id: 'create' });
    await slow.reached;
    await until(() => second.socket.types.includes('response.output_text.delta'));
    slow.open();
    await until(() => second.socket.types.includes('sluice:resumed'));
    for (let i = 0; i < 20; i++) await round();
    await harness.turns.cancel(ALICE, responseId);
    await until(() => second.socket.types.some((type) => TERMINAL.test(type)));
    const events = second.socket.frames.filter((frame) => 'sequence_number' in frame);
    expect(events.map((frame) => frame['sequence_number'])).toEqual(events.map((_, i) => i));
    expect(new Set(events.map((frame) => frame['stream_id']))).toEqual(new Set(['create']));
  });
});

describe('a cancel by response id', () => {
  it('waits for the end of a response that is not followed without reading its events [CAN-3]', async () => {
    harness = new ConnectionHarness({ provider: new Talker(600, false) });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => ((await harness.reader.lastSequence(ALICE, responseId)) ?? 0) > 600);
    const last = (await harness.reader.lastSequence(ALICE, responseId)) ?? 0;
    const { read } = harness.plain.events;
    let oldest = Infinity;
    harness.plain.events.read = (id, after, limit) => {
      if (limit !== 0) oldest = Math.min(oldest, after);
      return read.call(harness.plain.events, id, after, limit);
    };
    const { open } = harness.hub;
    harness.hub.open = (id, after, wake) => {
      oldest = Math.min(oldest, after);
      return open.call(harness.hub, id, after, wake);
    };
    const client = harness.connect();
    tell(client, { type: 'response.cancel', response_id: responseId });
    await until(() => client.socket.types.includes('sluice:cancelled'));
    expect(ofType(client, 'sluice:cancelled')[0]).toMatchObject({ status: 'cancelled' });
    expect(oldest).toBeGreaterThan(last - 10);
  });
});

describe('a cancel of a response in a watched conversation', () => {
  it('is answered with its outcome when the client unsubscribes before the terminal [CAN-3, WS-3]', async () => {
    harness = new ConnectionHarness({ answers: [[say('Hello'), HANG]] });
    const conversation = await harness.conversation();
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    const client = harness.connect();
    tell(client, { type: 'sluice:subscribe', conversation });
    await until(() => client.socket.types.includes('response.output_text.delta'));
    tell(client, { type: 'response.cancel', response_id: responseId });
    tell(client, { type: 'sluice:unsubscribe', conversation });
    await until(() => client.socket.types.includes('sluice:cancelled'));
    expect(ofType(client, 'sluice:cancelled')).toEqual([
      { type: 'sluice:cancelled', response_id: responseId, status: 'cancelled' },
    ]);
    expect(client.socket.types.filter((type) => TERMINAL.test(type))).toEqual([]);
  });
});

describe('a create that joins a response after a resume', () => {
  it('takes over its lane and its errors, and frees the lane of the resume [RES-6, RES-8, WS-3]', async () => {
    harness = new ConnectionHarness({ answers: [[say('Hello'), HANG], [say('Other')]] });
    const create = { type: 'response.create', input: 'Hi', 'sluice:idempotency_key': 'key', stream_id: 'create' };
    const first = harness.connect();
    tell(first, create);
    await until(() => first.socket.types.includes('response.output_text.delta'));
    const { id } = first.socket.frames[0]?.['response'] as { id: string };
    const client = harness.connect();
    tell(client, { type: 'sluice:resume', response_id: id, stream_id: 'resume' });
    await until(() => client.socket.types.includes('response.output_text.delta'));
    tell(client, create);
    await until(() => ofType(client, 'response.output_text.delta').length === 2);
    tell(client, { type: 'response.create', input: 'Next', stream_id: 'resume' });
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    harness.plain.events.read = () => Promise.resolve(undefined);
    await until(() => client.socket.types.includes('error'));
    expect(ofType(client, 'error')).toMatchObject([{ stream_id: 'create', error: { code: 'response_expired' } }]);
  });
});

describe('a create with the key of a response whose events are gone', () => {
  it('answers a create with the key of a response without events by snapshot and terminal [IDEM-1, RES-3]', async () => {
    harness = new ConnectionHarness({ provider: new Talker(3, true) });
    const create = { type: 'response.create', input: 'Hi', 'sluice:idempotency_key': 'key' };
    const first = harness.connect();
    tell(first, create);
    await until(() => first.socket.types.some((type) => TERMINAL.test(type)));
    const { id } = first.socket.frames.at(-1)?.['response'] as { id: string };
    await harness.plain.events.delete(id);
    const second = harness.connect({ snapshots: true });
    tell(second, create);
    await until(() => second.socket.types.some((type) => TERMINAL.test(type) || type === 'error'));
    expect(second.socket.types).toEqual(['sluice:snapshot', 'response.completed']);
  });
});
