/*
 * The journal: which events are joined, how they are numbered, one append at a time, and retries
 * while its log is unavailable.
 */

import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ResponseEvent, serialize, type TerminalEvent } from '../../../src/domain/event.js';
import { contentPart } from '../../../src/domain/open-item.js';
import { type SluiceError } from '../../../src/domain/errors.js';
import { type StoredResponse } from '../../../src/domain/response.js';
import { EndNotStored } from '../../../src/state/end-in-steps.js';
import { MemoryEventLog } from '../../../src/state/memory/memory-event-log.js';
import { MemoryLogTable } from '../../../src/state/memory/memory-log-table.js';
import { MemoryResponseStore } from '../../../src/state/memory/memory-response-store.js';
import { FlushClock } from '../../../src/turn/flush-clock.js';
import { Journal } from '../../../src/turn/journal.js';
import { type JournalOptions } from '../../../src/turn/journal-options.js';
import { type DeltaEvent } from '../../../src/turn/waiting-events.js';
import { retryWhileUnavailable } from '../../../src/turn/retry-while-unavailable.js';
import { responseOf } from '../domain/responses.js';
import { away, Faults } from './turn-harness.js';

/** A clock that ticks when the test calls it. */
class HandClock extends FlushClock {
  #due: (() => void)[] = [];
  constructor() {
    super({ maxWindowMs: 0 });
  }
  override schedule(flush: () => void): void {
    this.#due.push(flush);
  }
  tick(): void {
    for (const flush of this.#due.splice(0)) flush();
  }
}

const ID = 'resp_1';
let table: MemoryLogTable;
let log: MemoryEventLog;
let responses: MemoryResponseStore;
let faults: Faults;
let clock: HandClock;
let notices: string[];
/** Number of events in the log after the last confirmed append. */
let confirmed: number;

beforeEach(async () => {
  responses = new MemoryResponseStore({ ttlMs: 60_000 });
  table = new MemoryLogTable();
  log = new MemoryEventLog(table, { responses });
  faults = new Faults();
  clock = new HandClock();
  notices = [];
  confirmed = 0;
  await log.create({ responseId: ID, owner: 'a', conversationId: null, store: true, input: [] });
});

function journalOf(options: Partial<JournalOptions> = {}): Journal {
  const journal = new Journal({
    events: faults.wrap(log),
    clock,
    responseId: ID,
    fence: 1,
    response: responseOf(),
    onCancel: () => notices.push('cancel'),
    onLost: (error: SluiceError) => notices.push(`lost: ${error.code}`),
    onAppend: () => (confirmed = table.live(ID)?.events.length ?? 0),
    ...options,
  });
  journal.emit({ type: 'response.created', response: responseOf() });
  journal.emit({
    type: 'response.output_item.added',
    output_index: 0,
    item: { type: 'message', id: 'm', role: 'assistant', status: 'in_progress', content: [] },
  });
  journal.emit({ type: 'response.content_part.added', ...AT, part: contentPart('output_text', '') });
  return journal;
}

const AT = { item_id: 'm', output_index: 0, content_index: 0 };
const delta = (text: string): DeltaEvent => ({ type: 'response.output_text.delta', ...AT, delta: text, logprobs: [] });
const end = (): TerminalEvent => ({ type: 'response.completed', response: responseOf({ status: 'completed' }) });
const tick = (): Promise<void> => new Promise(setImmediate);
/** Resolves when the promises that can settle without I/O have, and `tick` not yet. */
const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
/** Ticks, and resolves when all events so far are confirmed or the journal is lost. */
async function flushed(journal: Journal): Promise<void> {
  const { nextSequence } = journal;
  clock.tick();
  while (journal.lost === undefined && confirmed < nextSequence) await tick();
}
const appends = (): number => faults.calls.filter((call) => call === 'append').length;

async function written(): Promise<string[]> {
  const page = await log.read(ID, -1, 1_000);
  return (page?.events ?? []).map(({ json, sequence, type }, i) => {
    expect(sequence).toBe(i);
    const event = JSON.parse(json) as { delta?: string; sequence_number: number };
    expect(event.sequence_number).toBe(i);
    return event.delta ?? type.replace('response.', '');
  });
}

const HEAD = ['created', 'output_item.added', 'content_part.added'];

describe('Journal', () => {
  it('writes events that are emitted together with one append', async () => {
    journalOf();
    await tick();
    expect(appends()).toBe(1);
    expect(await written()).toEqual(HEAD);
  });

  it('writes the first delta at once and joins later ones until the tick of the clock', async () => {
    const journal = journalOf();
    journal.delta(delta('a'));
    await tick();
    expect(await written()).toEqual([...HEAD, 'a']);
    for (const text of ['b', 'c', 'd']) journal.delta(delta(text));
    await tick();
    expect(await written()).toEqual([...HEAD, 'a']);
    clock.tick();
    await tick();
    expect(await written()).toEqual([...HEAD, 'a', 'bcd']);
    expect(journal.accumulator.response().output_text).toBe('abcd');
  });

  it('flushes waiting deltas before another event and joins none across it', async () => {
    const journal = journalOf();
    journal.delta(delta('a'));
    await tick();
    journal.delta(delta('b'));
    journal.emit({ type: 'response.output_text.done', ...AT, text: 'ab', logprobs: [] });
    await tick();
    expect(await written()).toEqual([...HEAD, 'a', 'b', 'output_text.done']);
    clock.tick();
    await tick();
    expect(appends()).toBe(2);
  });

  it('keeps deltas of different parts and kinds apart', async () => {
    const journal = journalOf();
    journal.emit({ type: 'response.content_part.added', ...AT, content_index: 1, part: contentPart('refusal', '') });
    journal.delta(delta('a'));
    journal.delta({ type: 'response.refusal.delta', ...AT, content_index: 1, delta: 'r' });
    journal.delta(delta('b'));
    clock.tick();
    await flushed(journal);
    expect((await written()).slice(4)).toEqual(['a', 'r', 'b']);
  });

  it('keeps one append in flight and collects later events meanwhile', async () => {
    const journal = journalOf();
    await tick();
    const gate = faults.hold('append');
    journal.delta(delta('a'));
    await gate.reached;
    for (const text of ['b', 'c']) journal.delta(delta(text));
    clock.tick();
    await tick();
    expect(appends()).toBe(2);
    gate.open();
    await flushed(journal);
    expect(await written()).toEqual([...HEAD, 'a', 'bc']);
  });

  it('sends the same numbers again while the log is unavailable, also if only the reply was lost', async () => {
    const journal = journalOf();
    await flushed(journal);
    faults.fail('append', 2, away, true);
    journal.delta(delta('a'));
    await flushed(journal);
    expect(await written()).toEqual([...HEAD, 'a']);
    expect(notices).toEqual([]);
  });

  it('reports the loss when another replica owns the log, and writes and reports nothing more', async () => {
    const journal = journalOf({ fence: 7 });
    await flushed(journal);
    expect(notices).toEqual(['lost: replica_lost']);
    expect(journal.lost?.code).toBe('replica_lost');
    journal.delta(delta('a'));
    journal.emit(end());
    await flushed(journal);
    clock.tick();
    await tick();
    expect(appends()).toBe(1);
    expect(await written()).toEqual([]);
    journal.leaseLost();
    expect(notices).toHaveLength(1);
  });

  it('continues after the events that its log was created with', async () => {
    const created: ResponseEvent = { type: 'response.created', response: responseOf() };
    await log.append(ID, 1, [serialize(created, 0)]);
    const journal = new Journal({
      events: log,
      clock,
      responseId: ID,
      fence: 1,
      response: responseOf(),
      opening: [created],
      onCancel: () => undefined,
      onLost: () => undefined,
    });
    await tick();
    expect(journal.nextSequence).toBe(1);
    journal.emit(end());
    await tick();
    expect(await written()).toEqual(['created', 'completed']);
    expect(journal.ended).toBe(true);
  });

  it('gives up after its time limit and reports the cause', async () => {
    faults.fail('append');
    const journal = journalOf({ giveUpMs: 0 });
    await flushed(journal);
    expect(notices).toEqual(['lost: state_unavailable']);
    expect(await written()).toEqual([]);
  });

  it('reports the cause when the log of this process throws', async () => {
    const append = (): never => {
      throw new Error('a bug');
    };
    const journal = journalOf({ events: { append, end: append } });
    await flushed(journal);
    expect(notices).toEqual(['lost: state_unavailable']);
    expect(journal.lost?.cause).toMatchObject({ message: 'a bug' });
  });

  it('appends in the same tick if the log is in this process', async () => {
    const journal = journalOf({ events: log });
    await settled();
    expect([confirmed, journal.nextSequence]).toEqual([3, 3]);
    journal.delta(delta('a'));
    journal.emit(end());
    await settled();
    expect(journal.ended).toBe(true);
  });

  it('stops retrying when its lease is lost meanwhile', async () => {
    faults.fail('append');
    const journal = journalOf();
    await tick();
    journal.leaseLost();
    await flushed(journal);
    const tried = appends();
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(appends()).toBeLessThanOrEqual(tried + 1);
    expect(notices).toEqual(['lost: replica_lost']);
  });

  it('holds the deltas of a long outage as one and writes them in order afterwards', async () => {
    const journal = journalOf();
    await flushed(journal);
    faults.fail('append', 3);
    for (let i = 0; i < 1_000; i++) journal.delta(delta(`${i},`));
    journal.emit(end());
    await flushed(journal);
    const all = await written();
    expect(all.slice(3, -1).join('')).toBe(Array.from({ length: 1_000 }, (_, i) => `${i},`).join(''));
    expect(all.length).toBeLessThan(8);
  });

  it('reports a cancel once, whether the append or the watch delivers it', async () => {
    const journal = journalOf();
    await flushed(journal);
    await log.requestCancel(ID);
    journal.delta(delta('a'));
    await flushed(journal);
    journal.cancelRequested();
    expect(notices).toEqual(['cancel']);
  });

  it('ends when the reply to its terminal was lost and a renewal finds the lease ended', async () => {
    const journal = journalOf();
    const append = log.append.bind(log);
    let lost = true;
    log.append = async (...args) => {
      const result = await append(...args);
      if (!lost) return result;
      lost = false;
      journal.leaseLost();
      throw away();
    };
    journal.emit(end());
    await flushed(journal);
    expect(journal.ended).toBe(true);
    expect(journal.lost).toBeUndefined();
    expect(notices).toEqual([]);
  });

  it('ends with its terminal and does not treat the end of the lease as a loss', async () => {
    const journal = journalOf();
    journal.emit(end());
    expect(journal.ended).toBe(false);
    await flushed(journal);
    expect(journal.ended).toBe(true);
    journal.leaseLost();
    expect(journal.lost).toBeUndefined();
    expect(notices).toEqual([]);
  });
});

describe('the end of a journal', () => {
  const stored = (text: string): StoredResponse => ({
    owner: 'a',
    response: responseOf({ id: ID, status: 'completed', output_text: text }),
    input: [],
    context: [],
    terminalSequence: 4,
  });

  it('writes what waits and the terminal event in one append, numbered on', async () => {
    const journal = journalOf();
    await flushed(journal);
    journal.delta(delta('a'));
    expect(journal.nextSequence).toBe(4);
    expect(await journal.end(end(), stored('a'))).toBeUndefined();
    expect(await written()).toEqual(['created', 'output_item.added', 'content_part.added', 'a', 'completed']);
    expect(faults.calls.filter((call) => call === 'end')).toHaveLength(1);
    expect(journal.ended).toBe(true);
  });

  it('holds all events for the write that stores something else with them', async () => {
    const journal = journalOf();
    await flushed(journal);
    const before = appends();
    journal.delta(delta('a'));
    journal.hold();
    clock.tick();
    await tick();
    expect(appends()).toBe(before);
    const left = await journal.writeBy(async (events) => ({ ...(await log.append(ID, 1, events)), kept: true }));
    expect(left).toMatchObject({ outcome: 'appended', kept: true });
    expect((await written()).at(-1)).toBe('a');
    expect(journal.nextSequence).toBe(4);
    await journal.end(end());
    expect((await written()).slice(-2)).toEqual(['a', 'completed']);
  });

  it('writes a first delta with the end of its answer if both arrived together', async () => {
    const journal = journalOf();
    await flushed(journal);
    const before = appends();
    journal.delta(delta('a'));
    // The end of an answer is read a few promises after its text.
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
    await journal.writeBy(async (events) => ({ ...(await log.append(ID, 1, events)), kept: true }));
    expect(appends()).toBe(before);
    expect(await written()).toEqual([...HEAD, 'a']);
  });

  it('waits for the append before it, and writes the events again if their write failed', async () => {
    const journal = journalOf();
    const gate = faults.hold('append');
    await gate.reached;
    journal.delta(delta('a'));
    const failing = journal.writeBy(async (events) => {
      await log.append(ID, 1, events);
      throw new Error('corrupt');
    });
    await tick();
    expect(await written()).toEqual([]);
    gate.open();
    await expect(failing).rejects.toThrow('corrupt');
    await journal.end(end());
    expect(await written()).toEqual(['created', 'output_item.added', 'content_part.added', 'a', 'completed']);
  });

  it('is lost if the write with something else is fenced', async () => {
    const journal = journalOf();
    await flushed(journal);
    expect(await journal.writeBy(() => Promise.resolve({ outcome: 'fenced' } as const))).toBeUndefined();
    expect(journal.lost?.code).toBe('replica_lost');
  });

  it('returns another stored end, writes nothing, and writes that end when it is called again', async () => {
    const journal = journalOf();
    await flushed(journal);
    await responses.put(stored('first'));
    journal.delta(delta('a'));
    expect(await journal.end(end(), stored('second'))).toEqual(stored('first'));
    expect([journal.ended, journal.mayHaveEnded]).toEqual([false, false]);
    expect(await journal.end(end())).toBeUndefined();
    expect(await written()).toEqual(['created', 'output_item.added', 'content_part.added', 'a', 'completed']);
  });

  it('reports an end that could not be stored, and still writes a terminal event', async () => {
    const journal = journalOf();
    await flushed(journal);
    jest.spyOn(responses, 'put').mockRejectedValueOnce(new Error('too large'));
    await expect(journal.end(end(), stored('a'))).rejects.toBeInstanceOf(EndNotStored);
    expect(journal.lost).toBeUndefined();
    await journal.end(end());
    expect(journal.ended).toBe(true);
    expect(await responses.get(ID)).toBeUndefined();
  });

  it('is lost if it is fenced', async () => {
    const journal = journalOf();
    await flushed(journal);
    await log.delete(ID);
    expect(await journal.end(end(), stored('a'))).toBeUndefined();
    expect([journal.ended, journal.lost?.code]).toEqual([false, 'replica_lost']);
    expect(await responses.get(ID)).toBeUndefined();
  });
});

describe('FlushClock', () => {
  it('does not wait while few turns run, and waits longer with more turns, up to its window', () => {
    const own = new FlushClock({ maxWindowMs: 40 });
    const windows = [0, 4, 5, 30, 500].map((turns) => {
      own.turns = turns;
      return own.windowMs;
    });
    expect(windows).toEqual([0, 0, 5, 30, 40]);
    const off = new FlushClock({ maxWindowMs: 0 });
    off.turns = 500;
    expect(off.windowMs).toBe(0);
  });

  it('calls all waiting callbacks in one tick, each once', async () => {
    const own = new FlushClock({ maxWindowMs: 0 });
    const calls: string[] = [];
    own.schedule(() => {
      calls.push('a');
      own.schedule(() => calls.push('c'));
    });
    own.schedule(() => calls.push('b'));
    expect(calls).toEqual([]);
    await tick();
    expect(calls.slice(0, 2)).toEqual(['a', 'b']);
    await tick();
    expect(calls).toEqual(['a', 'b', 'c']);
  });
});

describe('retryWhileUnavailable', () => {
  it('retries while the store is unavailable and throws any other error at once', async () => {
    let asked = 0;
    expect(await retryWhileUnavailable(() => (++asked < 3 ? Promise.reject(away()) : Promise.resolve('done')))).toBe(
      'done',
    );
    expect(asked).toBe(3);
    asked = 0;
    const broken = retryWhileUnavailable(() => Promise.reject(new Error(`broken ${++asked}`)));
    await expect(broken).rejects.toThrow('broken 1');
  });

  it('gives up when the caller aborts, or after its time limit', async () => {
    await expect(retryWhileUnavailable(() => Promise.reject(away()), { wanted: () => false })).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    await expect(retryWhileUnavailable(() => Promise.reject(away()), { giveUpMs: 0 })).rejects.toMatchObject({
      code: 'state_unavailable',
    });
  });
});
