/*
 * What one connection may cost: frames in progress, refusals, snapshots and bytes held for a client
 * that does not read.
 */

import { afterEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { CLOSE_CODES } from '../../../src/protocol/socket/close-codes.js';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf } from '../turn/turn-harness.js';
import { type Connected, ConnectionHarness, SETTINGS, Talker, tell, until } from './connection-harness.js';

let harness: ConnectionHarness;
afterEach(() => harness.close());

const round = (): Promise<void> => new Promise(setImmediate);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const errors = ({ socket }: Connected): unknown[] =>
  socket.frames.flatMap((frame) => ('error' in frame ? [(frame['error'] as { code: string }).code] : []));

describe('frames in progress', () => {
  it('stops reading while the most frames allowed are in progress, and answers each in the end [WS-18, WS-3]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]], settings: { maxLanes: 64 } });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    const client = harness.connect();
    const opened = Promise.withResolvers<void>();
    const { open } = harness.reader;
    let opening = 0;
    harness.reader.open = async (...args) => {
      opening += 1;
      await opened.promise;
      return open.apply(harness.reader, args);
    };
    for (const i of upTo(50)) tell(client, { type: 'sluice:resume', response_id: responseId, stream_id: `l${i}` });
    tell(client, { type: 'sluice:ping', id: 'last' });
    for (const _ of upTo(5)) await round();
    expect(client.connection.reading).toBe(false);
    // Resumes of one response are served one after the other.
    expect(opening).toBe(1);
    expect(client.socket.types).toEqual([]);
    opened.resolve();
    await until(() => client.socket.types.filter((type) => type === 'sluice:resumed').length === 50);
    await until(() => client.connection.reading);
    expect(client.socket.types).toContain('sluice:pong');
  });

  it("handles a share of a connection's frames in each round of the event loop [WS-18]", async () => {
    harness = new ConnectionHarness();
    const client = harness.connect();
    for (const id of upTo(500)) tell(client, { type: 'sluice:ping', id });
    expect(client.socket.frames.length).toBe(16);
    expect(client.connection.reading).toBe(false);
    await until(() => client.socket.frames.length === 500);
    expect(client.socket.frames.map((frame) => frame['id'])).toEqual(upTo(500));
    await until(() => client.connection.reading);
  });

  it('bounds the frames of a round over all connections, and serves the connections in turn [WS-18]', async () => {
    harness = new ConnectionHarness();
    const clients = upTo(20).map(() => harness.connect());
    for (const client of clients) for (const id of upTo(40)) tell(client, { type: 'sluice:ping', id });
    const answered = (): number[] => clients.map(({ socket }) => socket.frames.length);
    const total = (): number => answered().reduce((sum, count) => sum + count, 0);
    for (let rounds = 1; total() < 800; rounds++) {
      const before = total();
      await round();
      expect(total() - before).toBeGreaterThan(0);
      expect(total() - before).toBeLessThanOrEqual(32);
      // Two connections take their share in each round, so each of the 20 has had one by then.
      if (rounds === 11) expect(Math.min(...answered())).toBeGreaterThanOrEqual(16);
    }
    expect(answered()).toEqual(clients.map(() => 40));
  });

  it('reads slowly after a close frame, so that the rest of a flood leaves the event loop to others [WS-8]', () => {
    const time = new HandTime();
    harness = new ConnectionHarness({ time });
    const client = harness.connect();
    client.connection.close(CLOSE_CODES.policy, 'too many refused messages');
    const reads = upTo(10).map(() => {
      for (const id of upTo(600)) tell(client, { type: 'sluice:ping', id });
      const paused = client.socket.isPaused;
      time.pass(20);
      return paused && !client.socket.isPaused;
    });
    expect(reads).toEqual(upTo(10).map(() => true));
    expect(client.socket.frames).toEqual([]);
  });

  it('handles no frame while the socket is full, so that answers are not buffered without bound [WS-14]', async () => {
    harness = new ConnectionHarness({ settings: { slowReaderTimeoutMs: 60_000 } });
    const client = harness.connect();
    client.socket.reads = false;
    for (const id of upTo(20_000)) tell(client, { type: 'sluice:ping', id: `${id}`.padEnd(100) });
    await until(() => client.connection.outbound.full);
    for (const _ of upTo(20)) await round();
    expect(client.socket.bufferedAmount).toBeLessThan(SETTINGS.outboundBufferBytes + 1_000);
    client.socket.reads = true;
    client.socket.bufferedAmount = 0;
    await until(() => client.socket.frames.length === 20_000);
  });

  it('answers each frame that the limit on operations refuses [LIMIT-7]', async () => {
    harness = new ConnectionHarness();
    harness.parts.operations = {
      take: () => {
        throw new SluiceError('rate_limit_exceeded', 'unable to serve this operation; limit; later');
      },
    };
    const client = harness.connect();
    const frames = [
      { type: 'sluice:resume', response_id: 'resp_a', stream_id: 'x' },
      { type: 'sluice:subscribe', conversation: 'conv_a', stream_id: 'x' },
      { type: 'response.cancel', response_id: 'resp_a' },
      { type: 'response.cancel', stream_id: 'x' },
      { type: 'sluice:auth', token: 'alice' },
    ];
    for (const frame of frames) tell(client, frame);
    expect(errors(client)).toEqual(frames.map(() => 'rate_limit_exceeded'));
    expect(client.socket.closed).toBeUndefined();
  });

  it('drops waiting frames with the connection, and frees what was in progress', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    const client = harness.connect();
    for (const _ of upTo(100)) tell(client, { type: 'sluice:resume', response_id: responseId });
    client.socket.terminate();
    await until(() => harness.hub.size === 0);
    expect(client.connection.outbound.followings.size).toBe(0);
  });
});

describe('refusals', () => {
  it('closes the connection after refused large frames cost less than a second of CPU [WS-8]', async () => {
    harness = new ConnectionHarness();
    let cpuMs = 0;
    harness.parts.cpuMs = () => (cpuMs += 50);
    const client = harness.connect();
    let sent = 0;
    for (; sent < 70 && client.socket.open; sent++) {
      client.frames.intake.receive(`{"${'x'.repeat(20_000)}":1}`);
      await round();
    }
    expect(client.socket.closed?.code).toBe(1008);
    expect(sent * 50).toBeLessThan(1_000);
  });

  it('keeps a client connected that retries after the limit of its caller refused it [WS-8]', () => {
    harness = new ConnectionHarness();
    harness.parts.operations = {
      take: () => {
        throw new SluiceError('rate_limit_exceeded', 'unable to serve this operation; limit; later');
      },
    };
    const client = harness.connect();
    const resume = JSON.stringify({ type: 'sluice:resume', response_id: 'resp_a' });
    for (const _ of upTo(60)) client.frames.intake.receive(resume);
    expect(client.socket.closed).toBeUndefined();
  });

  it('closes the connection when too many errors wait behind a response in their lane [LANE-3, WS-8]', async () => {
    harness = new ConnectionHarness({ answers: [[say('a'), HANG]] });
    const client = harness.connect();
    tell(client, { type: 'response.create', input: 'Hi', stream_id: 'x' });
    await until(() => client.socket.types.includes('response.output_text.delta'));
    harness.parts.operations.take = () => {
      throw new SluiceError('rate_limit_exceeded', 'unable to serve this operation; limit; later');
    };
    for (let sent = 0; sent < 1_000 && client.socket.open; sent++) {
      tell(client, { type: 'sluice:resume', response_id: 'resp_a', stream_id: 'x' });
      if (sent % 50 === 0) await round();
    }
    await until(() => client.socket.closed !== undefined);
    expect(client.socket.closed?.code).toBe(1008);
  });
});

describe('snapshots', () => {
  const DELTAS = 400;

  async function longResponse(): Promise<{ id: string; bytes: number }> {
    harness = new ConnectionHarness({ provider: new Talker(DELTAS, false), settings: { slowReaderTimeoutMs: 60_000 } });
    const { responseId: id } = await harness.turns.create(ALICE, requestOf('x'.repeat(100)), ORIGIN);
    await until(async () => (await harness.types(id)).length >= DELTAS + 4);
    return { id, bytes: (await harness.reader.snapshot(ALICE, id)).json.length };
  }

  it('holds one snapshot beyond the bound for each of eight clients that never read [WS-14]', async () => {
    const { id, bytes } = await longResponse();
    const { outboundBufferBytes } = SETTINGS;
    const clients = upTo(8).map(() => harness.connect({ snapshots: true }));
    for (const { socket } of clients) socket.reads = false;
    const enough = Math.ceil((outboundBufferBytes / bytes) * 3);
    for (let sent = 0; sent < enough; sent++) {
      for (const client of clients) tell(client, { type: 'sluice:resume', response_id: id });
      for (const _ of upTo(6)) await round();
    }
    await until(() => clients.every(({ connection }) => connection.outbound.full));
    for (const _ of upTo(50)) await round();
    for (const { socket, connection } of clients) {
      expect(socket.bufferedAmount).toBeLessThan(outboundBufferBytes + bytes + 1_000);
      expect(connection.reading).toBe(false);
    }
  });

  it('reads one snapshot for viewers that request it together [RES-2]', async () => {
    const { id } = await longResponse();
    let reads = 0;
    const { read } = harness.plain.events;
    harness.plain.events.read = (...args) => {
      // The pages of a fold, not the looks at a log's end.
      if (args[2] === 500 && args[1] === -1) reads += 1;
      return read.apply(harness.plain.events, args);
    };
    const clients = upTo(8).map(() => harness.connect({ snapshots: true }));
    for (const client of clients) tell(client, { type: 'sluice:resume', response_id: id });
    await until(() => clients.every(({ socket }) => socket.types.includes('sluice:snapshot')));
    expect(reads).toBeLessThanOrEqual(1);
  });

  it('sends no snapshot for a resume that a later one replaced [RES-6]', async () => {
    const { id } = await longResponse();
    const client = harness.connect({ snapshots: true });
    for (const _ of upTo(20)) tell(client, { type: 'sluice:resume', response_id: id });
    await until(() => client.socket.types.includes('sluice:snapshot'));
    await round();
    expect(client.socket.types.filter((type) => type === 'sluice:resumed')).toHaveLength(19);
    expect(client.socket.types.filter((type) => type === 'sluice:snapshot')).toHaveLength(1);
  });
});
