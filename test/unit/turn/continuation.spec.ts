/* What `previous_response_id` continues from, and what a stored response holds of that: nothing twice, and nothing without a bound. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Item, storedBytes } from '../../../src/domain/item.js';
import { type ProviderRequest } from '../../../src/provider/provider.js';
import { say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf, TurnBench, userItem } from './turn-bench.js';

const GONE = { code: 'previous_response_not_found', param: 'previous_response_id' };

let provider: ScriptedProvider;
let bench: TurnBench;
beforeEach(() => {
  provider = new ScriptedProvider([[say('A1')], [say('A2')], [say('A3')], [say('A4')]]);
  bench = new TurnBench({ provider });
});
afterEach(() => bench.close());

/** Texts that the provider was sent last. */
function sent(): string[] {
  const { items } = provider.requests.at(-1) as ProviderRequest; // a turn was asked
  return items.map((item) =>
    item.type === 'message' ? item.content.map((part) => ('text' in part ? part.text : '')).join() : item.type,
  );
}

const bytesOf = async (responseId: string): Promise<number> =>
  JSON.stringify(await bench.plain.responses.get(responseId)).length;

describe('a response that was made in a conversation', () => {
  it('is stored without a copy of the conversation', async () => {
    const conversation = await bench.conversation([userItem('x'.repeat(50_000))]);
    const first = await bench.play(requestOf('Q1', { conversation }));
    const second = await bench.play(requestOf('Q2', { conversation }));
    expect(await bench.plain.responses.get(second)).toMatchObject({ context: [], contextIn: conversation });
    expect(await bytesOf(first)).toBeLessThan(5_000);
    expect(await bytesOf(second)).toBe(await bytesOf(first));
  });

  it('is continued from with the conversation up to it, and not beyond [CONV-6]', async () => {
    const conversation = await bench.conversation([userItem('Q0')]);
    const first = await bench.play(requestOf('Q1', { conversation }));
    await bench.play(requestOf('Q2', { conversation }));
    const fork = await bench.play(requestOf('other', { previousResponseId: first }));
    expect(sent()).toEqual(['Q0', 'Q1', 'A1', 'other']);
    // The fork is a chain of its own: what happens to the conversation does not reach it any more.
    await bench.plain.conversations.delete(conversation);
    await bench.play(requestOf('more', { previousResponseId: fork }));
    expect(sent()).toEqual(['Q0', 'Q1', 'A1', 'other', 'A3', 'more']);
  });

  it('is continued from without items that were removed meanwhile [CONV-6]', async () => {
    const conversation = await bench.conversation([userItem('Q0')]);
    const first = await bench.play(requestOf('Q1', { conversation }));
    await bench.plain.conversations.deleteItem(conversation, 'msg_Q0');
    await bench.play(requestOf('more', { previousResponseId: first }));
    expect(sent()).toEqual(['Q1', 'A1', 'more']);
  });

  it('is not continued from where its conversation no longer holds its items [CONV-7]', async () => {
    const conversation = await bench.conversation([userItem('Q0')]);
    const first = await bench.play(requestOf('Q1', { conversation }));
    await bench.play(requestOf('Q2', { conversation }));
    const { data } = await bench.plain.conversations.listItems(conversation, { limit: 9, order: 'asc' });
    for (const { item, responseId } of data) {
      if (responseId === first) await bench.plain.conversations.deleteItem(conversation, item.id);
    }
    const again = () => bench.turns.create(ALICE, requestOf('more', { previousResponseId: first }), ORIGIN);
    await expect(again()).rejects.toMatchObject(GONE);
    await bench.plain.conversations.delete(conversation);
    await expect(again()).rejects.toMatchObject(GONE);
    expect((await bench.reader.retrieve(ALICE, first)).output_text).toBe('A1');
  });

  it('takes a call’s output by its id as by its conversation', async () => {
    const conversation = await bench.conversation();
    const call = new ScriptedProvider([[{ type: 'call', name: 'look', arguments: '{}' }], [say('Seen')]]);
    const beside = new TurnBench({ provider: call, beside: bench });
    const first = await beside.play(requestOf('look', { conversation }));
    const [called] = (await beside.reader.retrieve(ALICE, first)).output;
    if (called?.type !== 'function_call') throw new Error('no call was made');
    const output = {
      type: 'function_call_output',
      id: 'fco_1',
      call_id: called.call_id,
      output: 'x',
      status: 'completed',
    } as const;
    await beside.play(requestOf('', { previousResponseId: first, input: [output] }));
    expect(call.requests[1]?.items.map(({ type }) => type)).toEqual([
      'message',
      'function_call',
      'function_call_output',
    ]);
  });
});

describe('a response that was stored with its context', () => {
  it('is continued from as before, also where it was made in a conversation', async () => {
    const conversation = await bench.conversation();
    const first = await bench.play(requestOf('Q1', { conversation }));
    const stored = await bench.plain.responses.get(first);
    if (stored === undefined) throw new Error('it was stored');
    const { contextIn: _none, ...before } = stored;
    const id = 'resp_before';
    const context = [{ item: userItem('as it was'), responseId: null, withheld: false }];
    await bench.plain.responses.put({ ...before, response: { ...stored.response, id }, context });
    await bench.play(requestOf('more', { previousResponseId: id }));
    expect(sent()).toEqual(['as it was', 'more']);
  });
});

const long = (text: string): Item =>
  ({ ...userItem(text.slice(0, 2)), content: [{ type: 'input_text', text }] }) as Item; // a message with another text

describe('a chain', () => {
  it('is bounded in bytes: the oldest items go first [CONV-9]', async () => {
    bench = new TurnBench({ provider, maxBytes: 10_000 });
    let previousResponseId: string | undefined;
    const sizes: number[] = [];
    for (const letter of ['a', 'b', 'c', 'd']) {
      const fields = previousResponseId === undefined ? {} : { previousResponseId };
      previousResponseId = await bench.play(requestOf('', { input: [long(letter.repeat(4_000))], ...fields }));
      const { context } = (await bench.plain.responses.get(previousResponseId)) ?? { context: [] };
      sizes.push(context.map(storedBytes).reduce((a, b) => a + b, 0));
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10_000);
    expect(sizes.at(-1)).toBeGreaterThan(8_000);
    expect(sent().map((text) => text.slice(0, 2))).toEqual(['A1', 'bb', 'A2', 'cc', 'A3', 'dd']);
  });
});

describe('an item that is larger than a conversation may be', () => {
  it('is refused before anything is stored [CONV-9]', async () => {
    bench = new TurnBench({ provider, maxBytes: 70_000 });
    const conversation = await bench.conversation();
    const input: Item[] = [userItem('small'), userItem('x'.repeat(70_000))];
    for (const fields of [{ conversation }, {}, { store: false, conversation }]) {
      const asked = bench.turns.create(ALICE, requestOf('', { input, ...fields }), ORIGIN);
      await expect(asked).rejects.toMatchObject({ code: 'invalid_value', param: 'input[1]' });
    }
    expect(await bench.texts(conversation)).toEqual([]);
    await bench.play(requestOf('', { input, store: false }));
    expect(sent()).toHaveLength(2);
  });
});
