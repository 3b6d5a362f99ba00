/*
 * What `previous_response_id` continues from, and which part of it a stored response holds: no
 * duplicates, bounded size.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Item, storedBytes } from '../../../src/domain/item.js';
import { type ProviderRequest } from '../../../src/provider/provider.js';
import { say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf, TurnHarness, userItem } from './turn-harness.js';

const GONE = { code: 'previous_response_not_found', param: 'previous_response_id' };

let provider: ScriptedProvider;
let harness: TurnHarness;
beforeEach(() => {
  provider = new ScriptedProvider([[say('A1')], [say('A2')], [say('A3')], [say('A4')]]);
  harness = new TurnHarness({ provider });
});
afterEach(() => harness.close());

/** Texts of the last request to the provider. */
function sent(): string[] {
  const { items } = provider.requests.at(-1) as ProviderRequest; // the provider was called
  return items.map((item) =>
    item.type === 'message' ? item.content.map((part) => ('text' in part ? part.text : '')).join() : item.type,
  );
}

const bytesOf = async (responseId: string): Promise<number> =>
  JSON.stringify(await harness.plain.responses.get(responseId)).length;

describe('a response that was made in a conversation', () => {
  it('stores a response of a conversation without a copy of the conversation', async () => {
    const conversation = await harness.conversation([userItem('x'.repeat(50_000))]);
    const first = await harness.play(requestOf('Q1', { conversation }));
    const second = await harness.play(requestOf('Q2', { conversation }));
    expect(await harness.plain.responses.get(second)).toMatchObject({ context: [], contextIn: conversation });
    expect(await bytesOf(first)).toBeLessThan(5_000);
    expect(await bytesOf(second)).toBe(await bytesOf(first));
  });

  it('continues a response from its conversation up to that response and not beyond [CONV-6]', async () => {
    const conversation = await harness.conversation([userItem('Q0')]);
    const first = await harness.play(requestOf('Q1', { conversation }));
    await harness.play(requestOf('Q2', { conversation }));
    const fork = await harness.play(requestOf('other', { previousResponseId: first }));
    expect(sent()).toEqual(['Q0', 'Q1', 'A1', 'other']);
    // The fork is a chain of its own: later changes of the conversation do not reach it.
    await harness.plain.conversations.delete(conversation);
    await harness.play(requestOf('more', { previousResponseId: fork }));
    expect(sent()).toEqual(['Q0', 'Q1', 'A1', 'other', 'A3', 'more']);
  });

  it('continues a response without items that were removed after it [CONV-6]', async () => {
    const conversation = await harness.conversation([userItem('Q0')]);
    const first = await harness.play(requestOf('Q1', { conversation }));
    await harness.plain.conversations.deleteItem(conversation, 'msg_Q0');
    await harness.play(requestOf('more', { previousResponseId: first }));
    expect(sent()).toEqual(['Q1', 'A1', 'more']);
  });

  it('refuses to continue a response whose items are no longer in its conversation [CONV-7]', async () => {
    const conversation = await harness.conversation([userItem('Q0')]);
    const first = await harness.play(requestOf('Q1', { conversation }));
    await harness.play(requestOf('Q2', { conversation }));
    const { data } = await harness.plain.conversations.listItems(conversation, { limit: 9, order: 'asc' });
    for (const { item, responseId } of data) {
      if (responseId === first) await harness.plain.conversations.deleteItem(conversation, item.id);
    }
    const again = () => harness.turns.create(ALICE, requestOf('more', { previousResponseId: first }), ORIGIN);
    await expect(again()).rejects.toMatchObject(GONE);
    await harness.plain.conversations.delete(conversation);
    await expect(again()).rejects.toMatchObject(GONE);
    expect((await harness.reader.retrieve(ALICE, first)).output_text).toBe('A1');
  });

  it('takes the output of a call by the response id as by the conversation', async () => {
    const conversation = await harness.conversation();
    const call = new ScriptedProvider([[{ type: 'call', name: 'look', arguments: '{}' }], [say('Seen')]]);
    const beside = new TurnHarness({ provider: call, beside: harness });
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
  it('continues a response that was stored with its context, also where it was made in a conversation', async () => {
    const conversation = await harness.conversation();
    const first = await harness.play(requestOf('Q1', { conversation }));
    const stored = await harness.plain.responses.get(first);
    if (stored === undefined) throw new Error('it was stored');
    const { contextIn: _none, ...before } = stored;
    const id = 'resp_before';
    const context = [{ item: userItem('as it was'), responseId: null, withheld: false }];
    await harness.plain.responses.put({ ...before, response: { ...stored.response, id }, context });
    await harness.play(requestOf('more', { previousResponseId: id }));
    expect(sent()).toEqual(['as it was', 'more']);
  });
});

const long = (text: string): Item =>
  ({ ...userItem(text.slice(0, 2)), content: [{ type: 'input_text', text }] }) as Item; // a message with another text

describe('a chain', () => {
  it('drops the oldest items of a chain above its bound in bytes [CONV-9]', async () => {
    harness = new TurnHarness({ provider, maxBytes: 10_000 });
    let previousResponseId: string | undefined;
    const sizes: number[] = [];
    for (const letter of ['a', 'b', 'c', 'd']) {
      const fields = previousResponseId === undefined ? {} : { previousResponseId };
      previousResponseId = await harness.play(requestOf('', { input: [long(letter.repeat(4_000))], ...fields }));
      const { context } = (await harness.plain.responses.get(previousResponseId)) ?? { context: [] };
      sizes.push(context.map(storedBytes).reduce((a, b) => a + b, 0));
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10_000);
    expect(sizes.at(-1)).toBeGreaterThan(8_000);
    expect(sent().map((text) => text.slice(0, 2))).toEqual(['A1', 'bb', 'A2', 'cc', 'A3', 'dd']);
  });
});

describe('an item that is larger than a conversation may be', () => {
  it('refuses an item above the size bound of a conversation before anything is stored [CONV-9]', async () => {
    harness = new TurnHarness({ provider, maxBytes: 70_000 });
    const conversation = await harness.conversation();
    const input: Item[] = [userItem('small'), userItem('x'.repeat(70_000))];
    for (const fields of [{ conversation }, {}, { store: false, conversation }]) {
      const asked = harness.turns.create(ALICE, requestOf('', { input, ...fields }), ORIGIN);
      await expect(asked).rejects.toMatchObject({ code: 'invalid_value', param: 'input[1]' });
    }
    expect(await harness.texts(conversation)).toEqual([]);
    await harness.play(requestOf('', { input, store: false }));
    expect(sent()).toHaveLength(2);
  });
});
