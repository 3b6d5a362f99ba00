/* Ended logs in memory: the same events in fewer objects, bounded in number. */

import { describe, expect, it } from '@jest/globals';
import { type LoggedEvent, serialize } from '../../../../src/domain/event.js';
import { systemTime } from '../../../../src/domain/time.js';
import { LOG_TIMES } from '../../../../src/state/event-log.js';
import { MemoryEventLog } from '../../../../src/state/memory/memory-event-log.js';
import { MemoryLogTable } from '../../../../src/state/memory/memory-log-table.js';
import { MemoryResponseStore } from '../../../../src/state/memory/memory-response-store.js';
import { MemoryBudget } from '../../../../src/state/memory/memory-budget.js';
import { PackedEvents } from '../../../../src/state/memory/packed-events.js';

const delta = (sequence: number, text: string): LoggedEvent =>
  serialize(
    {
      type: 'response.output_text.delta',
      item_id: 'msg_1',
      output_index: 0,
      content_index: 0,
      delta: text,
      logprobs: [],
    },
    sequence,
  );
const done = (sequence: number, text: string): LoggedEvent => ({
  sequence,
  type: 'response.completed',
  json: JSON.stringify({ type: 'response.completed', sequence_number: sequence, text }),
});

describe('PackedEvents', () => {
  it('returns every event unchanged, with any characters', () => {
    const events = ['plain', 'Grüße 漢字 🎈', '"quoted"\n', '', '\ud800'].map((text, i) => delta(i, text));
    const packed = new PackedEvents(events);
    expect(packed.length).toBe(5);
    expect(packed.slice(0, 5)).toEqual(events);
    expect(packed.slice(3, 100)).toEqual(events.slice(3));
    expect(packed.slice(2, 3)).toEqual([events[2]]);
    expect(packed.slice(5, 9)).toEqual([]);
  });
});

describe('MemoryLogTable', () => {
  const head = (responseId: string) => ({ responseId, owner: 'a', conversationId: null, store: true, input: [] });

  it('drops the oldest ended logs above its bound, and no running one', async () => {
    const events = new MemoryEventLog(
      new MemoryLogTable({ ...systemTime, now: () => 0 }, LOG_TIMES, new MemoryBudget({ maxBytes: 3_500 })),
      { responses: new MemoryResponseStore({ ttlMs: 60_000 }) },
    );
    await events.create(head('running'));
    await events.append('running', 1, [delta(0, 'x'.repeat(5_000))]);
    for (const id of ['a', 'b', 'c']) {
      await events.create(head(id));
      await events.append(id, 1, [done(0, 'y'.repeat(1_000))]);
    }
    const kept = await Promise.all(['running', 'a', 'b', 'c'].map((id) => events.read(id, -1, 10)));
    expect(kept.map((page) => page?.events.length)).toEqual([1, undefined, 1, 1]);
    await events.delete('b');
    await events.create(head('d'));
    await events.append('d', 1, [done(0, 'z'.repeat(1_000))]);
    expect((await events.read('c', -1, 10))?.ended).toBe(true);
  });
});
