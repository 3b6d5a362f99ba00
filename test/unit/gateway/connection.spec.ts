/*
 * One socket and what it follows: snapshots, lanes, cancels, and what is left behind when it closes
 * at a bad moment.
 */

import { afterEach, describe, expect, it } from '@jest/globals';
import { type ResponseObject } from '../../../src/domain/response.js';
import { HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, away, ORIGIN, requestOf } from '../turn/turn-harness.js';
import { ConnectionHarness, Talker, tell, until } from './connection-harness.js';

let harness: ConnectionHarness;
afterEach(() => harness.close());

const create = (text: string, fields = {}): Record<string, unknown> => ({
  type: 'response.create',
  input: text,
  ...fields,
});
const TERMINAL = /^response\.(completed|incomplete|failed)$/u;

describe('a snapshot', () => {
  async function longResponse(): Promise<string> {
    harness = new ConnectionHarness({ provider: new Talker(400, true) });
    return harness.play(requestOf('Hi'));
  }

  it('moves a viewer that is far behind on, and sends the terminal once', async () => {
    const id = await longResponse();
    const client = harness.connect({ snapshots: true });
    const { socket } = client;
    await (
      await harness.follow(client, id)
    ).end;
    expect(socket.types).toEqual(['sluice:snapshot', 'response.completed']);
    const [snapshot, terminal] = socket.frames;
    expect(Number(terminal?.['sequence_number'])).toBe(Number(snapshot?.['sequence_number']) + 1);
    expect(harness.hub.size).toBe(0);
  });

  it('holds exactly the text of the deltas up to the number of the snapshot', async () => {
    harness = new ConnectionHarness({ provider: new Talker(300, false) });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => (await harness.types(responseId)).length >= 304);
    const { json, sequence } = await harness.reader.snapshot(ALICE, responseId);
    const response = JSON.parse(json.toString()) as ResponseObject;
    const earlier = (await harness.events(responseId)).slice(0, sequence + 1);
    const deltas = earlier.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : []));
    expect(response.output_text).toBe(deltas.join(''));
    expect(response.status).toBe('in_progress');
  });

  it('sends no snapshot to a client that does not know snapshots', async () => {
    const id = await longResponse();
    const client = harness.connect();
    const { socket } = client;
    await (
      await harness.follow(client, id)
    ).end;
    expect(socket.types).not.toContain('sluice:snapshot');
    expect(socket.sequences()).toEqual(socket.frames.map((_, i) => i));
  });

  it('sends snapshot and terminal once for a response whose log is gone', async () => {
    const id = await longResponse();
    const client = harness.connect({ snapshots: true });
    const { socket } = client;
    const viewer = await harness.reader.open(ALICE, id, -1, client.connection.outbound.wake);
    await harness.plain.events.delete(id);
    await client.connection.outbound.follow(id, viewer, undefined).end;
    expect(socket.types.filter((type) => TERMINAL.test(type)).length).toBeLessThanOrEqual(1);
    expect(harness.hub.size).toBe(0);
  });

  it('ends with one terminal when a resume requests it while its log is deleted', async () => {
    const id = await longResponse();
    const client = harness.connect({ snapshots: true });
    const { socket } = client;
    const read = harness.plain.events.read.bind(harness.plain.events);
    let reads = 0;
    // The log is deleted between the viewer's opening and the snapshot's reading.
    harness.plain.events.read = (...args) => (reads++ < 1 ? read(...args) : Promise.resolve(undefined));
    tell(client, { type: 'sluice:resume', response_id: id });
    await until(() => socket.types.some((type) => TERMINAL.test(type) || type === 'error'));
    await new Promise(setImmediate);
    expect(socket.types.filter((type) => TERMINAL.test(type))).toHaveLength(1);
  });

  it('reads a snapshot again after the store was away for a moment', async () => {
    const id = await longResponse();
    const client = harness.connect({ snapshots: true });
    const { socket } = client;
    const viewer = await harness.reader.open(ALICE, id, -1, client.connection.outbound.wake);
    const read = harness.plain.events.read.bind(harness.plain.events);
    let failing = 1;
    harness.plain.events.read = (...args) => (failing-- > 0 ? Promise.reject(away()) : read(...args));
    expect(await client.connection.outbound.follow(id, viewer, undefined).end).toBe('ended');
    expect(socket.types).toEqual(['sluice:snapshot', 'response.completed']);
  });

  it('does not read the snapshot of a deleted response again and again', async () => {
    const id = await longResponse();
    const client = harness.connect({ snapshots: true });
    const viewer = await harness.reader.open(ALICE, id, -1, client.connection.outbound.wake);
    harness.plain.events.read = () => Promise.resolve(undefined);
    await harness.plain.responses.delete(id);
    expect(await client.connection.outbound.follow(id, viewer, undefined).end).toBe('lost');
  });

  it.each([
    ['ends the following if the log has ended', true],
    ['waits for the writer if the log has not ended', false],
  ])('is sent once when the log has lost its newest events, and %s [RES-2]', async (_effect, ended) => {
    harness = new ConnectionHarness({ provider: new Talker(400, false) });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => (await harness.types(responseId)).length >= 404);
    const client = harness.connect({ snapshots: true });
    const viewer = await harness.reader.open(ALICE, responseId, -1, client.connection.outbound.wake);
    const read = harness.plain.events.read.bind(harness.plain.events);
    harness.plain.events.read = async (...args) => {
      const page = await read(...args);
      return page && { ...page, events: page.events.filter(({ sequence }) => sequence <= 50), last: 50, ended };
    };
    const following = client.connection.outbound.follow(responseId, viewer, undefined);
    await until(() => client.socket.types.length > 0);
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    expect(client.socket.types).toEqual(['sluice:snapshot']);
    if (ended) {
      expect(await following.end).toBe('lost');
      return;
    }
    // The writer writes them again.
    harness.plain.events.read = read;
    await until(() => client.socket.types.length > 1);
    expect(Number(client.socket.frames[1]?.['sequence_number'])).toBeGreaterThan(300);
    expect(viewer.state).toBe('following');
  });

  it.each(['sluice:resume', 'response.create'])(
    'comes with the terminal in answer to %s when an earlier one is cached and the log is gone [RES-3, IDEM-5]',
    async (type) => {
      harness = new ConnectionHarness({ provider: new Talker(400, true) });
      const first = harness.connect({ snapshots: true });
      tell(first, create('Hi', { 'sluice:idempotency_key': 'key' }));
      await until(() => first.socket.types.some((type) => TERMINAL.test(type)));
      const { id } = first.socket.frames.at(-1)?.['response'] as { id: string };
      await harness.reader.snapshot(ALICE, id);
      await harness.plain.events.delete(id);
      const { socket, frames } = harness.connect({ snapshots: true });
      const resume = { type, response_id: id };
      tell({ frames }, type === 'sluice:resume' ? resume : create('Hi', { 'sluice:idempotency_key': 'key' }));
      await until(() => socket.types.length > 0);
      for (let i = 0; i < 10; i++) await new Promise(setImmediate);
      expect(socket.types).toEqual(['sluice:snapshot', 'response.completed']);
    },
  );

  it('ends a following that begins after a socket has closed without a frame', async () => {
    const id = await longResponse();
    const client = harness.connect();
    client.socket.terminate();
    const viewer = await harness.reader.open(ALICE, id, -1, () => undefined);
    expect(await client.connection.outbound.follow(id, viewer, undefined).end).toBe('ended');
    expect(client.connection.outbound.followings.size).toBe(0);
  });

  it('drops a snapshot if the client has resumed the response meanwhile', async () => {
    const id = await longResponse();
    const client = harness.connect({ snapshots: true });
    const { socket } = client;
    const viewer = await harness.reader.open(ALICE, id, -1, client.connection.outbound.wake);
    const later = await harness.reader.open(ALICE, id, 400, client.connection.outbound.wake);
    const read = harness.plain.events.read.bind(harness.plain.events);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    harness.plain.events.read = async (...args) => {
      reached.resolve();
      await gate.promise;
      return read(...args);
    };
    const following = client.connection.outbound.follow(id, viewer, undefined);
    await reached.promise;
    client.connection.outbound.follow(id, later, 'right');
    gate.resolve();
    expect(await following.end).toBe('ended');
    await new Promise(setImmediate);
    expect(socket.types).not.toContain('sluice:snapshot');
    expect(socket.sequences()[0]).toBe(401);
  });
});

describe('a connection that closes at a bad moment', () => {
  it('keeps no viewer of a resume that was under way when the socket closed', async () => {
    harness = new ConnectionHarness({ provider: new Talker(400, false) });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => (await harness.types(responseId)).length >= 404);
    const client = harness.connect({ snapshots: true });
    const { socket } = client;
    const read = harness.plain.events.read.bind(harness.plain.events);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    let reads = 0;
    harness.plain.events.read = async (...args) => {
      if (reads++ >= 2) {
        reached.resolve();
        await gate.promise;
      }
      return read(...args);
    };
    tell(client, { type: 'sluice:resume', response_id: responseId });
    await reached.promise;
    socket.terminate();
    gate.resolve();
    await until(() => harness.hub.size === 0);
    expect(client.connection.outbound.followings.size).toBe(0);
  });

  it('drops the tasks that wait in its lanes and leaves running turns alone', async () => {
    const provider = new ScriptedProvider([[say('a'), HANG], [say('b')]]);
    harness = new ConnectionHarness({ provider });
    const client = harness.connect();
    const { socket } = client;
    tell(client, create('first'));
    tell(client, create('second'));
    await until(() => socket.types.includes('response.output_text.delta'));
    socket.terminate();
    await new Promise(setImmediate);
    expect(harness.turns.count).toBe(1);
    expect(provider.requests).toHaveLength(1);
  });

  it('cancels the turns of a connection that closes with on_disconnect=cancel', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const client = harness.connect({ cancelOnDisconnect: true });
    const { socket } = client;
    tell(client, create('first'));
    await until(() => socket.types.includes('response.output_text.delta'));
    socket.terminate();
    await harness.turns.whenIdle();
    expect(await harness.metric('requests_total{status="cancelled"}')).toBe(1);
  });

  it('leaves the turns of such a connection running when a drain closes it [WS-13, DRAIN-2]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const client = harness.connect({ cancelOnDisconnect: true });
    const { socket } = client;
    tell(client, create('Hi'));
    await until(() => socket.types.includes('response.output_text.delta'));
    const { id } = socket.frames[0]?.['response'] as { id: string };
    await client.connection.leave(1012, 'draining', 0);
    socket.emit('close', 1012);
    for (let i = 0; i < 10; i++) await new Promise(setImmediate);
    expect(await harness.reader.status(ALICE, id)).toBe('running');
  });
});

describe('lanes', () => {
  it('counts running and waiting creates, and sends an error after the turn before it', async () => {
    harness = new ConnectionHarness({ answers: [[say('a')]] });
    const client = harness.connect();
    const { socket } = client;
    for (const text of ['first', 'second', 'third']) tell(client, create(text));
    await until(() => socket.types.includes('error'));
    expect(socket.types.filter((type) => TERMINAL.test(type) || type === 'error')).toEqual([
      'response.completed',
      'response.completed',
      'error',
    ]);
    tell(client, create('fourth'));
    await until(() => socket.types.filter((type) => TERMINAL.test(type)).length === 3);
  });

  it('runs lanes at the same time, each with its stream_id', async () => {
    harness = new ConnectionHarness({ answers: [[say('a')]] });
    const client = harness.connect();
    const { socket } = client;
    tell(client, create('first', { stream_id: 'left' }));
    tell(client, create('second', { stream_id: 'right' }));
    await until(() => socket.types.filter((type) => TERMINAL.test(type)).length === 2);
    tell(client, create('third', { stream_id: 'middle' }));
    const error = socket.frames.at(-1);
    expect(error).toMatchObject({ type: 'error', stream_id: 'middle', error: { code: 'too_many_lanes' } });
  });

  it('cancels the running and the waiting turns of a lane', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const client = harness.connect();
    const { socket } = client;
    tell(client, create('first', { stream_id: 'left' }));
    tell(client, create('second', { stream_id: 'left' }));
    await until(() => socket.types.includes('response.output_text.delta'));
    tell(client, { type: 'response.cancel', stream_id: 'left' });
    await until(() => socket.types.filter((type) => TERMINAL.test(type)).length === 2);
    expect(socket.types.filter((type) => TERMINAL.test(type))).toEqual(['response.incomplete', 'response.incomplete']);
  });

  it('cancels a resumed response by its lane also while the store is away for a moment [CAN-1]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    const client = harness.connect();
    tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: 'a' });
    await until(() => client.socket.types.includes('response.output_text.delta'));
    const read = harness.plain.events.read.bind(harness.plain.events);
    let failing = 1;
    harness.plain.events.read = (...args) => (failing-- > 0 ? Promise.reject(away()) : read(...args));
    tell(client, { type: 'response.cancel', stream_id: 'a' });
    await until(() => client.socket.types.some((type) => TERMINAL.test(type)));
    expect(client.socket.frames.at(-1)?.['response']).toMatchObject({ status: 'cancelled' });
  });

  it('stops reading from a client that floods and does not read', async () => {
    harness = new ConnectionHarness();
    const client = harness.connect();
    const { socket } = client;
    socket.reads = false;
    for (let sent = 0; sent < 10_000 && !socket.isPaused; sent++) tell(client, { type: 'sluice:ping', id: sent });
    expect(socket.isPaused).toBe(true);
    client.connection.close(1012, 'draining');
    expect(socket.isPaused).toBe(false);
  });
});

describe('a subscription', () => {
  it('keeps a response that was resumed into a lane when its subscription ends', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const conversation = await harness.conversation();
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    const client = harness.connect();
    const { socket } = client;
    tell(client, { type: 'sluice:subscribe', conversation });
    await until(() => socket.types.includes('response.output_text.delta'));
    tell(client, { type: 'sluice:resume', response_id: responseId, starting_after: 0, stream_id: 'mine' });
    await until(() => socket.types.includes('sluice:resumed'));
    await new Promise(setImmediate);
    tell(client, { type: 'sluice:unsubscribe', conversation });
    await harness.turns.cancel(ALICE, responseId);
    await until(() => socket.types.some((type) => TERMINAL.test(type)));
    expect(socket.frames.at(-1)?.['stream_id']).toBe('mine');
  });

  it('announces a turn whose log could not be read at first [SUB-1]', async () => {
    harness = new ConnectionHarness();
    const conversation = await harness.conversation();
    const client = harness.connect();
    const { socket } = client;
    tell(client, { type: 'sluice:subscribe', conversation });
    await until(() => socket.types.includes('sluice:subscribed'));
    const read = harness.plain.events.read.bind(harness.plain.events);
    let failed = 0;
    harness.plain.events.read = (...args) => (failed++ < 2 ? Promise.reject(away()) : read(...args));
    await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    await until(() => socket.types.some((type) => TERMINAL.test(type)));
    expect(socket.types.slice(1, 3)).toEqual(['sluice:turn', 'response.created']);
    expect(socket.types).not.toContain('error');
    expect(failed).toBeGreaterThan(2);
  });

  it('reads the running turns after a gap, with retries while the store is away [SUB-1]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const conversation = await harness.conversation();
    const client = harness.connect();
    const { socket } = client;
    let onGap = (): void => undefined;
    const { announcements } = harness.parts;
    announcements.watch = async (_id: string, _onResponse: unknown, gap: () => void) => {
      onGap = gap;
      return () => undefined;
    };
    tell(client, { type: 'sluice:subscribe', conversation });
    await until(() => socket.types.includes('sluice:subscribed'));
    await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    const members = harness.plain.claim.members.bind(harness.plain.claim);
    let failed = 0;
    harness.plain.claim.members = (...args) => (failed++ < 2 ? Promise.reject(away()) : members(...args));
    expect(socket.types).not.toContain('sluice:turn');
    onGap();
    onGap();
    await until(() => socket.types.includes('response.output_text.delta'));
    expect(socket.types.filter((type) => type === 'sluice:turn')).toHaveLength(1);
  });
});
