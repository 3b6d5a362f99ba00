/*
 * What goes out on one socket: bounded, fair, each event once, and every cursor moves on until its
 * end.
 */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ResponseEvent, serialize } from '../../../src/domain/event.js';
import { systemTime } from '../../../src/domain/time.js';
import { FlushRound } from '../../../src/gateway/flush-round.js';
import { type Following } from '../../../src/gateway/following/following.js';
import { Outbound } from '../../../src/gateway/outbound.js';
import { FollowHub } from '../../../src/state/follow/follow-hub.js';
import { type Viewer } from '../../../src/state/follow/viewer.js';
import { MemoryEventLog } from '../../../src/state/memory/memory-event-log.js';
import { MemoryLogTable } from '../../../src/state/memory/memory-log-table.js';
import { MemoryResponseStore } from '../../../src/state/memory/memory-response-store.js';
import { FakeSocket } from './fake-socket.js';

const tick = (): Promise<void> => new Promise(setImmediate);

let log: MemoryEventLog;
let hub: FollowHub;
let socket: FakeSocket;
let stuck: jest.Mock<() => void>;
let behind: jest.Mock<(following: Following, events: number) => boolean>;
let outbound: Outbound;

beforeEach(() => {
  log = new MemoryEventLog(new MemoryLogTable(), { responses: new MemoryResponseStore({ ttlMs: 60_000 }) });
  hub = new FollowHub({ events: log, ringEvents: 8, pageEvents: 5 });
  socket = new FakeSocket();
  stuck = jest.fn<() => void>();
  behind = jest.fn<(following: Following, events: number) => boolean>(() => false);
  outbound = new Outbound(socket, {
    time: systemTime,
    round: new FlushRound(systemTime),
    onFull: (full) => (socket.isPaused = full),
    bufferBytes: 64_000,
    slowReaderTimeoutMs: 200,
    onStuck: stuck,
    onBehind: behind,
  });
});
afterEach(() => {
  outbound.close();
  hub.close();
});

function delta(responseId: string, text: string): ResponseEvent {
  return {
    type: 'response.output_text.delta',
    item_id: responseId,
    output_index: 0,
    content_index: 0,
    delta: text,
    logprobs: [],
  };
}

// Only the type matters here: no test reads the response of this terminal.
const terminal = { type: 'response.completed', response: {} } as unknown as ResponseEvent;

/** A log of `events` deltas, ended or not. */
async function logOf(
  responseId: string,
  events: number,
  options: { ended?: boolean; bytes?: number } = {},
): Promise<void> {
  await log.create({ responseId, owner: 'a', conversationId: null, store: true, input: [] });
  const text = 'x'.repeat(options.bytes ?? 1);
  const logged = Array.from({ length: events }, (_, i) => serialize(delta(responseId, text), i));
  if (options.ended === true) logged.push(serialize(terminal, events));
  await log.append(responseId, 1, logged);
}

async function follow(responseId: string, after = -1, streamId?: string): Promise<Following> {
  return outbound.follow(responseId, await viewer(responseId, after), streamId);
}

async function viewer(responseId: string, after = -1): Promise<Viewer> {
  const opened = await hub.open(responseId, after, outbound.wake);
  if (opened === undefined) throw new Error(`unable to open ${responseId}`);
  return opened;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('Outbound', () => {
  it('sends a response that is longer than ring and page to its end', async () => {
    await logOf('resp_a', 33, { ended: true });
    const following = await follow('resp_a');
    expect(await following.end).toBe('ended');
    expect(socket.sequences()).toEqual(upTo(34));
    expect(outbound.followings.size).toBe(0);
    expect(hub.size).toBe(0);
  });

  it('continues with events that arrived while a page was read', async () => {
    await logOf('resp_a', 33);
    const following = await follow('resp_a');
    await log.append('resp_a', 1, [serialize(delta('resp_a', 'x'), 33)]);
    await log.append('resp_a', 1, [serialize(terminal, 34)]);
    expect(await following.end).toBe('ended');
    expect(socket.sequences()).toEqual(upTo(35));
  });

  it('names the lane in every event', async () => {
    await logOf('resp_a', 3, { ended: true });
    await (
      await follow('resp_a', -1, 'left')
    ).end;
    expect(socket.frames.map((frame) => frame['stream_id'])).toEqual(['left', 'left', 'left', 'left']);
  });

  it('writes no more than fits, and resumes from the paused cursors', async () => {
    socket.reads = false;
    await logOf('resp_a', 200, { bytes: 1_000, ended: true });
    const following = await follow('resp_a');
    while (socket.bufferedAmount < 64_000) await tick();
    await tick();
    const sent = socket.frames.length;
    expect(socket.bufferedAmount).toBeLessThan(64_000 + 2_000);
    expect(following.viewer.cursor).toBe(sent - 1);
    socket.reads = true;
    socket.bufferedAmount = 0;
    await following.end;
    expect(socket.sequences()).toEqual(upTo(201));
    expect(stuck).not.toHaveBeenCalled();
  });

  it('reports a reader that takes nothing as stuck, not one that is slow', async () => {
    socket.reads = false;
    await logOf('resp_a', 200, { bytes: 1_000, ended: true });
    await follow('resp_a');
    while (socket.bufferedAmount < 64_000) await tick();
    for (let looks = 0; looks < 8; looks++) {
      socket.bufferedAmount -= 100;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(stuck).not.toHaveBeenCalled();
    while (stuck.mock.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(stuck).toHaveBeenCalledTimes(1);
  });

  it('does not count its own events as progress of a slow reader', async () => {
    socket.reads = false;
    outbound.send(JSON.stringify({ type: 'x', text: 'x'.repeat(64_000) }));
    const sending = setInterval(() => {
      socket.bufferedAmount -= 10;
      outbound.send('{"type":"sluice:pong"}');
    }, 20);
    const deadline = Date.now() + 600;
    while (stuck.mock.calls.length === 0 && Date.now() < deadline) await new Promise((r) => setTimeout(r, 20));
    clearInterval(sending);
    expect(stuck).not.toHaveBeenCalled();
  });

  it('reads nothing from a client that does not read', async () => {
    socket.reads = false;
    outbound.send(JSON.stringify({ type: 'x', text: 'x'.repeat(64_000) }));
    expect(socket.isPaused).toBe(true);
    expect(outbound.full).toBe(true);
    socket.bufferedAmount = 0;
    while (socket.isPaused) await tick();
    expect(outbound.full).toBe(false);
  });

  it('reports the socket as not full when it closes', async () => {
    socket.reads = false;
    outbound.send(JSON.stringify({ type: 'x', text: 'x'.repeat(64_000) }));
    outbound.close();
    expect(socket.isPaused).toBe(false);
  });

  it('gives every response its turn on a socket that is nearly full', async () => {
    await logOf('resp_a', 2_000, { bytes: 1_000 });
    await logOf('resp_b', 20, { bytes: 1_000, ended: true });
    socket.reads = false;
    await follow('resp_a');
    const short = await follow('resp_b');
    let ended = false;
    void short.end.then(() => (ended = true));
    for (let rounds = 0; rounds < 8 && !ended; rounds++) {
      while (socket.bufferedAmount < 60_000 && !ended) await tick();
      socket.bufferedAmount = 0;
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    expect(ended).toBe(true);
  });

  it('follows a response once: a later following takes the place of the cursor', async () => {
    await logOf('resp_a', 4);
    const first = await follow('resp_a');
    await tick();
    const second = await follow('resp_a', 1, 'right');
    expect(second).toBe(first);
    await log.append('resp_a', 1, [serialize(terminal, 4)]);
    await second.end;
    expect(socket.sequences()).toEqual([0, 1, 2, 3, 2, 3, 4]);
    expect(hub.size).toBe(0);
  });

  it('resumes at once when a cursor replaces a paused one', async () => {
    await logOf('resp_a', 4, { ended: true });
    behind.mockReturnValueOnce(true);
    const following = await follow('resp_a');
    await tick();
    expect(following.paused).toBe(true);
    await follow('resp_a', 1);
    expect(await following.end).toBe('ended');
    expect(socket.sequences()).toEqual([2, 3, 4]);
  });

  it('keeps no viewer for a connection that is gone', async () => {
    await logOf('resp_a', 4);
    const opened = await viewer('resp_a');
    outbound.close();
    const following = outbound.follow('resp_a', opened, undefined);
    expect(await following.end).toBe('ended');
    expect(hub.size).toBe(0);
  });

  it('reports a response as lost when its log is gone', async () => {
    await logOf('resp_a', 4);
    const following = await follow('resp_a');
    await tick();
    await log.delete('resp_a');
    expect(await following.end).toBe('lost');
    expect(hub.size).toBe(0);
  });

  it('ends what it follows when it closes', async () => {
    await logOf('resp_a', 4);
    const following = await follow('resp_a');
    outbound.close();
    expect(await following.end).toBe('ended');
    expect(hub.size).toBe(0);
  });

  it('sends nothing to a socket that is closing', async () => {
    await logOf('resp_a', 4);
    await follow('resp_a');
    socket.open = false;
    await tick();
    outbound.send('{}');
    expect(socket.frames).toEqual([]);
  });
});
