/* One socket and what it follows: snapshots, lanes, cancels, and what is left behind when it closes at a bad moment. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, away, ORIGIN, requestOf } from '../turn/turn-bench.js';
import { GatewayBench, Talker, tell, until } from './gateway-bench.js';

let bench: GatewayBench;
afterEach(() => bench.close());

const create = (text: string, fields = {}): Record<string, unknown> => ({
  type: 'response.create',
  input: text,
  ...fields,
});
const TERMINAL = /^response\.(completed|incomplete|failed)$/u;

describe('a snapshot', () => {
  async function longResponse(): Promise<string> {
    bench = new GatewayBench({ provider: new Talker(400, true) });
    return bench.play(requestOf('Hi'));
  }

  it('moves a reader on that is far behind, and the terminal follows once', async () => {
    const id = await longResponse();
    const { connection, socket } = bench.connect({ snapshots: true });
    await connection.followToEnd(id, -1, undefined);
    expect(socket.types).toEqual(['sluice:snapshot', 'response.completed']);
    const [snapshot, terminal] = socket.frames;
    expect(Number(terminal?.['sequence_number'])).toBe(Number(snapshot?.['sequence_number']) + 1);
    expect(bench.hub.size).toBe(0);
  });

  it('has exactly the text of the deltas up to its number', async () => {
    bench = new GatewayBench({ provider: new Talker(300, false) });
    const { responseId } = await bench.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => (await bench.types(responseId)).length >= 304);
    const { response, sequence } = await bench.reader.snapshot(ALICE, responseId);
    const told = (await bench.events(responseId)).slice(0, sequence + 1);
    const deltas = told.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : []));
    expect(response.output_text).toBe(deltas.join(''));
    expect(response.status).toBe('in_progress');
  });

  it('is not sent to a client that does not know it', async () => {
    const id = await longResponse();
    const { connection, socket } = bench.connect();
    await connection.followToEnd(id, -1, undefined);
    expect(socket.types).not.toContain('sluice:snapshot');
    expect(socket.sequences()).toEqual(socket.frames.map((_, i) => i));
  });

  it('of a response whose log is gone tells the end, once', async () => {
    const id = await longResponse();
    const { connection, socket } = bench.connect({ snapshots: true });
    const viewer = await connection.view(id, -1);
    if (viewer === undefined) throw new Error('no viewer');
    await bench.plain.log.delete(id);
    await connection.outbound.follow(id, viewer, undefined).end;
    expect(socket.types.filter((type) => TERMINAL.test(type)).length).toBeLessThanOrEqual(1);
    expect(bench.hub.size).toBe(0);
  });

  it('that is told while a resume asks for it ends with one terminal where the log goes away', async () => {
    const id = await longResponse();
    const { connection, socket } = bench.connect({ snapshots: true });
    const read = bench.plain.log.read.bind(bench.plain.log);
    let reads = 0;
    // The log goes away between the viewer's opening and the snapshot's reading.
    bench.plain.log.read = (...args) => (reads++ < 1 ? read(...args) : Promise.resolve(undefined));
    tell(connection, { type: 'sluice:resume', response_id: id });
    await until(() => socket.types.some((type) => TERMINAL.test(type) || type === 'error'));
    await new Promise(setImmediate);
    expect(socket.types.filter((type) => TERMINAL.test(type))).toHaveLength(1);
  });

  it('is asked for again where the store is away for a moment', async () => {
    const id = await longResponse();
    const { connection, socket } = bench.connect({ snapshots: true });
    const viewer = await connection.view(id, -1);
    if (viewer === undefined) throw new Error('no viewer');
    const read = bench.plain.log.read.bind(bench.plain.log);
    let failing = 1;
    bench.plain.log.read = (...args) => (failing-- > 0 ? Promise.reject(away()) : read(...args));
    expect(await connection.outbound.follow(id, viewer, undefined).end).toBe('ended');
    expect(socket.types).toEqual(['sluice:snapshot', 'response.completed']);
  });

  it('of a response that is gone for good is not asked for over and over', async () => {
    const id = await longResponse();
    const { connection } = bench.connect({ snapshots: true });
    const viewer = await connection.view(id, -1);
    if (viewer === undefined) throw new Error('no viewer');
    bench.plain.log.read = () => Promise.resolve(undefined);
    await bench.plain.responses.delete(id);
    expect(await connection.outbound.follow(id, viewer, undefined).end).toBe('lost');
  });

  it('comes too late where the client has resumed elsewhere meanwhile', async () => {
    const id = await longResponse();
    const { connection, socket } = bench.connect({ snapshots: true });
    const viewer = await connection.view(id, -1);
    const later = await connection.view(id, 400);
    if (viewer === undefined || later === undefined) throw new Error('no viewer');
    const read = bench.plain.log.read.bind(bench.plain.log);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    bench.plain.log.read = async (...args) => {
      reached.resolve();
      await gate.promise;
      return read(...args);
    };
    const following = connection.outbound.follow(id, viewer, undefined);
    await reached.promise;
    connection.outbound.follow(id, later, 'right');
    gate.resolve();
    expect(await following.end).toBe('ended');
    await new Promise(setImmediate);
    expect(socket.types).not.toContain('sluice:snapshot');
    expect(socket.sequences()[0]).toBe(401);
  });
});

describe('a connection that closes at a bad moment', () => {
  it('keeps no viewer of a resume that was under way', async () => {
    bench = new GatewayBench({ provider: new Talker(400, false) });
    const { responseId } = await bench.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await until(async () => (await bench.types(responseId)).length >= 404);
    const { connection, socket } = bench.connect({ snapshots: true });
    const read = bench.plain.log.read.bind(bench.plain.log);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    let reads = 0;
    bench.plain.log.read = async (...args) => {
      if (reads++ >= 2) {
        reached.resolve();
        await gate.promise;
      }
      return read(...args);
    };
    tell(connection, { type: 'sluice:resume', response_id: responseId });
    await reached.promise;
    socket.terminate();
    gate.resolve();
    await until(() => bench.hub.size === 0);
    expect(connection.outbound.followings.size).toBe(0);
  });

  it('does not start what waited in its lanes, and lets what runs go on', async () => {
    const provider = new ScriptedProvider([[say('a'), HANG], [say('b')]]);
    bench = new GatewayBench({ provider });
    const { connection, socket } = bench.connect();
    tell(connection, create('first'));
    tell(connection, create('second'));
    await until(() => socket.types.includes('response.output_text.delta'));
    socket.terminate();
    await new Promise(setImmediate);
    expect(bench.turns.count).toBe(1);
    expect(provider.requests).toHaveLength(1);
  });

  it('cancels what it asked for where it said so', async () => {
    bench = new GatewayBench({ answers: [[say('a'), HANG]] });
    const { connection, socket } = bench.connect({ cancelOnDisconnect: true });
    tell(connection, create('first'));
    await until(() => socket.types.includes('response.output_text.delta'));
    socket.terminate();
    await bench.turns.whenIdle();
    expect(await bench.metric('requests_total{status="cancelled"}')).toBe(1);
  });
});

describe('lanes', () => {
  it('count what runs and waits, and an error stands after the turn before it', async () => {
    bench = new GatewayBench({ answers: [[say('a')]] });
    const { connection, socket } = bench.connect();
    for (const text of ['first', 'second', 'third']) tell(connection, create(text));
    await until(() => socket.types.includes('error'));
    expect(socket.types.filter((type) => TERMINAL.test(type) || type === 'error')).toEqual([
      'response.completed',
      'response.completed',
      'error',
    ]);
    tell(connection, create('fourth'));
    await until(() => socket.types.filter((type) => TERMINAL.test(type)).length === 3);
  });

  it('run at the same time, each with its name', async () => {
    bench = new GatewayBench({ answers: [[say('a')]] });
    const { connection, socket } = bench.connect();
    tell(connection, create('first', { stream_id: 'left' }));
    tell(connection, create('second', { stream_id: 'right' }));
    await until(() => socket.types.filter((type) => TERMINAL.test(type)).length === 2);
    tell(connection, create('third', { stream_id: 'middle' }));
    const error = socket.frames.at(-1);
    expect(error).toMatchObject({ type: 'error', stream_id: 'middle', error: { code: 'too_many_lanes' } });
  });

  it('are cancelled by name: what runs and what waits', async () => {
    bench = new GatewayBench({ answers: [[say('a'), HANG]] });
    const { connection, socket } = bench.connect();
    tell(connection, create('first', { stream_id: 'left' }));
    tell(connection, create('second', { stream_id: 'left' }));
    await until(() => socket.types.includes('response.output_text.delta'));
    tell(connection, { type: 'response.cancel', stream_id: 'left' });
    await until(() => socket.types.filter((type) => TERMINAL.test(type)).length === 2);
    expect(socket.types.filter((type) => TERMINAL.test(type))).toEqual(['response.incomplete', 'response.incomplete']);
  });

  it('stop reading from a client that floods and does not read', async () => {
    bench = new GatewayBench();
    const { connection, socket } = bench.connect();
    socket.reads = false;
    for (let sent = 0; sent < 10_000 && !socket.isPaused; sent++) tell(connection, { type: 'sluice:ping', id: sent });
    expect(socket.isPaused).toBe(true);
    connection.close(1012, 'draining');
    expect(socket.isPaused).toBe(false);
  });
});

describe('a subscription', () => {
  it('that ends leaves alone what was resumed into a lane since', async () => {
    bench = new GatewayBench({ answers: [[say('a'), HANG]] });
    const conversation = await bench.conversation();
    const { responseId } = await bench.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    const { connection, socket } = bench.connect();
    tell(connection, { type: 'sluice:subscribe', conversation });
    await until(() => socket.types.includes('response.output_text.delta'));
    tell(connection, { type: 'sluice:resume', response_id: responseId, starting_after: 0, stream_id: 'mine' });
    await until(() => socket.types.includes('sluice:resumed'));
    await new Promise(setImmediate);
    tell(connection, { type: 'sluice:unsubscribe', conversation });
    await bench.turns.cancel(ALICE, responseId);
    await until(() => socket.types.some((type) => TERMINAL.test(type)));
    expect(socket.frames.at(-1)?.['stream_id']).toBe('mine');
  });

  it('tells a turn though its log could not be read when it was announced [SUB-1]', async () => {
    bench = new GatewayBench();
    const conversation = await bench.conversation();
    const { connection, socket } = bench.connect();
    tell(connection, { type: 'sluice:subscribe', conversation });
    await until(() => socket.types.includes('sluice:subscribed'));
    const read = bench.plain.log.read.bind(bench.plain.log);
    let failed = 0;
    bench.plain.log.read = (...args) => (failed++ < 2 ? Promise.reject(away()) : read(...args));
    await bench.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    await until(() => socket.types.some((type) => TERMINAL.test(type)));
    expect(socket.types.slice(1, 3)).toEqual(['sluice:turn', 'response.created']);
    expect(socket.types).not.toContain('error');
    expect(failed).toBeGreaterThan(2);
  });

  it('looks after a gap at what runs, again for as long as the store is away [SUB-1]', async () => {
    bench = new GatewayBench({ answers: [[say('a'), HANG]] });
    const conversation = await bench.conversation();
    const { connection, socket } = bench.connect();
    let onGap = (): void => undefined;
    bench.parts.claim.watch = async (_id, _onResponse, gap) => {
      onGap = gap;
      return () => undefined;
    };
    tell(connection, { type: 'sluice:subscribe', conversation });
    await until(() => socket.types.includes('sluice:subscribed'));
    await bench.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    const members = bench.plain.claim.members.bind(bench.plain.claim);
    let failed = 0;
    bench.plain.claim.members = (...args) => (failed++ < 2 ? Promise.reject(away()) : members(...args));
    expect(socket.types).not.toContain('sluice:turn');
    onGap();
    onGap();
    await until(() => socket.types.includes('response.output_text.delta'));
    expect(socket.types.filter((type) => type === 'sluice:turn')).toHaveLength(1);
  });
});
