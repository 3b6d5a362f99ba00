/*
 * Followers over a log with faults that no contract suite has: late answers, a lost head, temporary
 * refusals.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../../src/domain/errors.js';
import { type LoggedEvent, type ResponseEvent, serialize } from '../../../../src/domain/event.js';
import { type LogPage } from '../../../../src/state/event-log.js';
import { FollowHub } from '../../../../src/state/follow/follow-hub.js';
import { batches, type Viewer } from '../../../../src/state/follow/viewer.js';
import { MemoryEventLog } from '../../../../src/state/memory/memory-event-log.js';
import { MemoryLogTable } from '../../../../src/state/memory/memory-log-table.js';
import { MemoryResponseStore } from '../../../../src/state/memory/memory-response-store.js';

const ID = 'resp_a';

/** A log in memory whose reads a test can answer itself. */
class TrickyLog extends MemoryEventLog {
  trick: ((page: LogPage | undefined, after: number) => Promise<LogPage | undefined>) | undefined;
  reads = 0;
  override async read(responseId: string, after: number, limit: number): Promise<LogPage | undefined> {
    this.reads += 1;
    const page = await super.read(responseId, after, limit);
    return this.trick === undefined ? page : this.trick(page, after);
  }
}

let table: MemoryLogTable;
let events: TrickyLog;
let hub: FollowHub;
beforeEach(() => {
  table = new MemoryLogTable();
  events = new TrickyLog(table, { responses: new MemoryResponseStore({ ttlMs: 60_000 }) });
  hub = new FollowHub({ events, ringEvents: 4, pageEvents: 3 });
});
afterEach(() => hub.close());

const delta = (sequence: number): LoggedEvent =>
  serialize(
    { type: 'response.output_text.delta', item_id: 'm', output_index: 0, content_index: 0, delta: 'a', logprobs: [] },
    sequence,
  );
// Only its type matters here.
const terminal = (sequence: number): LoggedEvent =>
  serialize({ type: 'response.completed', response: {} } as unknown as ResponseEvent, sequence);

async function logOf(count: number, ended = true): Promise<void> {
  await events.create({ responseId: ID, owner: 'a', conversationId: null, store: true, input: [] });
  const written = Array.from({ length: count }, (_, i) => (ended && i === count - 1 ? terminal(i) : delta(i)));
  await events.append(ID, 1, written);
}

async function open(after = -1, wake: () => void = () => undefined): Promise<Viewer> {
  const viewer = await hub.open(ID, after, wake);
  if (viewer === undefined) throw new Error('the log is gone');
  return viewer;
}

async function readAll(after = -1, signal = new AbortController().signal): Promise<number[]> {
  const seen: number[] = [];
  for await (const events of batches((wake) => open(after, wake), signal)) {
    seen.push(...events.map(({ sequence }) => sequence));
  }
  return seen;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('a viewer', () => {
  it('reads a log longer than ring and page, and leaves nothing behind', async () => {
    await logOf(20);
    expect(await readAll()).toEqual(upTo(20));
    expect(hub.size).toBe(0);
  });

  it('marks a viewer lost, which then reads no more, when the log no longer reaches back to its cursor', async () => {
    await logOf(20);
    const viewer = await open(-1);
    events.trick = (page) => Promise.resolve(page === undefined ? page : { ...page, events: page.events.slice(2) });
    expect(viewer.take(64)).toEqual([]);
    while (viewer.state === 'following') await new Promise(setImmediate);
    expect(viewer.state).toBe('lost');
    const { reads } = events;
    expect(viewer.take(64)).toEqual([]);
    await new Promise(setImmediate);
    expect(events.reads).toBe(reads);
    viewer.close();
  });

  it('marks a viewer lost when the log does not have the events before its cursor', async () => {
    await logOf(20);
    const viewer = await open(-1);
    events.trick = (page) => Promise.resolve(page === undefined ? page : { ...page, events: [] });
    viewer.take(64);
    while (viewer.state === 'following') await new Promise(setImmediate);
    viewer.close();
  });

  it('reads again after the log was unavailable, and continues', async () => {
    await logOf(20);
    let failures = 1;
    events.trick = (page, after) =>
      after === 5 && failures-- > 0
        ? Promise.reject(new SluiceError('state_unavailable', 'away'))
        : Promise.resolve(page);
    expect(await readAll()).toEqual(upTo(20));
  });

  it('skips the events of a snapshot, past the ring and past the newest known event', async () => {
    await logOf(20, false);
    const viewer = await open(-1);
    viewer.skipTo(17);
    expect(viewer.take(64).map(({ sequence }) => sequence)).toEqual([]);
    await new Promise(setImmediate);
    expect(viewer.take(64).map(({ sequence }) => sequence)).toEqual([18, 19]);
    viewer.skipTo(22);
    for (const sequence of [20, 21, 22, 23]) await events.append(ID, 1, [delta(sequence)]);
    expect(viewer.take(64).map(({ sequence }) => sequence)).toEqual([23]);
    viewer.skipTo(3);
    expect(viewer.cursor).toBe(23);
    viewer.close();
  });

  it('stops a stream that is aborted while it waits', async () => {
    await logOf(3, false);
    const abort = new AbortController();
    const reading = readAll(-1, abort.signal);
    while (hub.size === 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
    abort.abort();
    expect(await reading).toEqual([0, 1, 2]);
    expect(hub.size).toBe(0);
  });
});

describe('opening', () => {
  it('finds an event that arrived while an older read was still in flight', async () => {
    await logOf(3, false);
    const first = await open(-1);
    const gate = Promise.withResolvers<void>();
    // A check of the tail read before event 3 was there, and its answer is late; no message
    // delivered event 3.
    events.trick = async (page) => {
      await gate.promise;
      return page;
    };
    const checking = hub.open(ID, 5, () => undefined);
    await new Promise(setImmediate);
    events.trick = undefined;
    await silently(() => events.append(ID, 1, [delta(3)]));
    const second = open(3);
    gate.resolve();
    expect((await second).last).toBeGreaterThanOrEqual(3);
    (await checking)?.close();
    (await second).close();
    first.close();
  });

  it('fails with the error of the store, and succeeds for the next viewer', async () => {
    await logOf(3);
    events.trick = () => Promise.reject(new SluiceError('state_unavailable', 'away'));
    await expect(hub.open(ID, -1, () => undefined)).rejects.toMatchObject({ code: 'state_unavailable' });
    expect(hub.size).toBe(0);
    events.trick = undefined;
    expect(await readAll()).toEqual(upTo(3));
  });

  it('reports a missing log', async () => {
    expect(await hub.open('resp_none', -1, () => undefined)).toBeUndefined();
    expect(hub.size).toBe(0);
  });
});

/** Appends without delivering to the followers, as if the message was lost. */
async function silently(append: () => unknown): Promise<void> {
  const followers = table.entries.get(ID)?.followers ?? new Set();
  const written = [...followers];
  followers.clear();
  await append();
  for (const follower of written) followers.add(follower);
}
