/*
 * State in memory is bounded in bytes: the least recently used is evicted first, and what a running
 * turn needs stays.
 */

import { afterEach, describe, expect, it } from '@jest/globals';
import { type StoredItem } from '../../../../src/domain/item.js';
import { type ResponseObject } from '../../../../src/domain/response.js';
import { type MemoryState, memoryState } from '../../../../src/state/memory/memory-state.js';
import { headOf, terminal } from '../../../contract/suites/log-fixtures.js';

const MIB = 1024 * 1024;

let state: MemoryState;
afterEach(() => state.close());

function open(memoryMaxBytes: number): string[] {
  const evicted: string[] = [];
  state = memoryState({ ttlMs: 3_600_000, maxItems: 100, memoryMaxBytes, onEvicted: (kind) => evicted.push(kind) });
  return evicted;
}

const message = (id: string, text: string): StoredItem => ({
  item: { type: 'message', id, role: 'user', status: 'completed', content: [{ type: 'input_text', text }] },
  responseId: null,
  withheld: false,
});

async function put(id: string, bytes: number): Promise<void> {
  // The store does not read the content of a response.
  const response = { id, output_text: 'x'.repeat(bytes) } as ResponseObject;
  await state.responses.put({ owner: 'ann', response, input: [], context: [], terminalSequence: 1 });
}

async function create(id: string, bytes = 0): Promise<void> {
  const conversation = { id, owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} };
  await state.conversations.create(conversation, bytes === 0 ? [] : [message(`msg_${id}`, 'x'.repeat(bytes))]);
}

const use = (key: string, responseId: string) => ({ owner: 'ann', key, fingerprint: 'f', responseId });

describe('state in memory', () => {
  it('keeps as many responses as its bound allows, not 8,100 of 20 KB', async () => {
    const evicted = open(16 * MIB);
    for (let i = 0; i < 8_100; i++) await put(`resp_${i}`, 20_000);
    expect(state.keptBytes()).toBeLessThanOrEqual(8 * MIB);
    expect(state.keptBytes()).toBeGreaterThan(7.9 * MIB);
    expect(evicted.length).toBeGreaterThan(7_600);
    expect(await state.responses.get('resp_0')).toBeUndefined();
    expect((await state.responses.get('resp_8099'))?.response.output_text).toHaveLength(20_000);
  });

  it('drops the least recently used first', async () => {
    const evicted = open(2 * MIB);
    await create('conv_used', 300_000);
    await create('conv_idle', 300_000);
    await put('resp_used', 300_000);
    await state.conversations.get('conv_used');
    await put('resp_new', 300_000);
    expect(evicted).toEqual(['conversation']);
    expect(await state.conversations.get('conv_idle')).toBeUndefined();
    expect(await state.conversations.recentItems('conv_used', 1)).toHaveLength(1);
    await put('resp_newer', 300_000);
    expect(evicted).toEqual(['conversation', 'response']);
    expect(await state.responses.get('resp_used')).toBeUndefined();
  });

  it('counts a conversation as it grows, and stops counting what was deleted', async () => {
    open(2 * MIB);
    await create('conv_1');
    const empty = state.keptBytes();
    await state.conversations.appendItems('conv_1', [message('msg_1', 'x'.repeat(500_000))], 'resp_1');
    expect(state.keptBytes()).toBeGreaterThan(500_000);
    await state.conversations.deleteItem('conv_1', 'msg_1');
    expect(state.keptBytes()).toBe(empty);
    await state.conversations.delete('conv_1');
    await put('resp_1', 1_000);
    await state.responses.delete('resp_1');
    expect(state.keptBytes()).toBeLessThan(empty + 100);
  });

  it('never drops a conversation in which a turn runs or waits', async () => {
    open(2 * MIB);
    await create('conv_running', 300_000);
    await state.claim.join('conv_running', 'resp_1', 1);
    for (let i = 0; i < 50; i++) await create(`conv_${i}`, 300_000);
    expect(await state.conversations.recentItems('conv_running', 1)).toHaveLength(1);
    await state.claim.leave('conv_running', 'resp_1');
    for (let i = 50; i < 60; i++) await create(`conv_${i}`, 300_000);
    expect(await state.conversations.get('conv_running')).toBeUndefined();
  });

  it('bounds idempotency keys apart from everything else, and keeps those of turns that begin or run', async () => {
    const evicted = open(8 * MIB);
    await state.keys.claim(use('beginning', 'resp_beginning'));
    const running = headOf();
    await state.events.createWith(running, []);
    await state.keys.claim(use('running', running.responseId));
    await state.keys.confirm(use('running', running.responseId));
    const ended = headOf();
    const { fence } = await state.events.createWith(ended, []);
    await state.keys.claim(use('ended', ended.responseId));
    await state.keys.confirm(use('ended', ended.responseId));
    await state.events.append(ended.responseId, fence, [terminal(0)]);
    for (let i = 0; i < 5_000; i++) {
      await state.keys.claim(use(`key ${i}`, `resp_${i}`));
      await state.keys.confirm(use(`key ${i}`, `resp_${i}`));
      if (i % 10 === 0) await put(`resp_${i}`, 20_000);
    }
    expect(new Set(evicted)).toEqual(new Set(['idempotency_key', 'response']));
    expect(state.keptBytes()).toBeLessThanOrEqual(8 * MIB);
    const again = async (key: string) => (await state.keys.claim(use(key, 'resp_again'))).outcome;
    expect(await again('beginning')).toBe('same');
    expect(await again('running')).toBe('same');
    expect(await again('ended')).toBe('fresh');
    expect(await again('key 4999')).toBe('same');
  });

  it('never drops the log of a running turn', async () => {
    const evicted = open(MIB);
    const running = headOf();
    const { fence } = await state.events.createWith(running, []);
    for (let i = 0; i < 200; i++) {
      const head = headOf();
      const { fence: own } = await state.events.createWith(head, []);
      const { json, ...rest } = terminal(0);
      await state.events.append(head.responseId, own, [{ ...rest, json: json.padEnd(20_000) }]);
    }
    expect(new Set(evicted)).toEqual(new Set(['log']));
    expect(state.keptBytes()).toBeLessThanOrEqual(MIB * (3 / 8));
    expect(await state.events.append(running.responseId, fence, [terminal(0)])).toMatchObject({ outcome: 'appended' });
  });
});
