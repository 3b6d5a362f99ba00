/* What a provider is sent for a history and a new input. */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { behindSummary, contextFor, strayOutput } from '../../../src/domain/context.js';
import { type Item, type MessageItem, type StoredItem } from '../../../src/domain/item.js';

const message = (text: string, role: 'user' | 'assistant' = 'user'): MessageItem => ({
  type: 'message',
  id: `msg_${text}`,
  role,
  status: 'completed',
  content: [
    role === 'user' ? { type: 'input_text', text } : { type: 'output_text', text, annotations: [], logprobs: [] },
  ],
});
const said = (text: string): MessageItem => message(text, 'assistant');
const call = (id: string): Item => ({
  type: 'function_call',
  id: `fc_${id}`,
  call_id: id,
  name: 'f',
  arguments: '{}',
  status: 'completed',
});
const output = (id: string): Item => ({
  type: 'function_call_output',
  id: `fco_${id}`,
  call_id: id,
  output: 'o',
  status: 'completed',
});
const stored = (item: Item, withheld = false): StoredItem => ({ item, responseId: null, withheld });
const kept = (items: readonly Item[]): StoredItem[] => items.map((item) => stored(item));
const ids = (items: readonly Item[]): string[] => items.map(({ id }) => id);
const sent = (history: readonly Item[], input: readonly Item[] = [], max = 100): string =>
  ids(contextFor(kept(history), kept(input), max))
    .map((id) => id.replace('msg_', ''))
    .join(' ');

/** Items in any order, as clients and providers of every kind may leave them. */
const anyItem = fc.oneof(
  fc.nat({ max: 99 }).map((n) => message(`u${n}`)),
  fc.nat({ max: 99 }).map((n) => said(`a${n}`)),
  fc.nat({ max: 3 }).map((n) => call(String(n))),
  fc.nat({ max: 3 }).map((n) => output(String(n))),
);
const history = fc.array(fc.tuple(anyItem, fc.boolean()), { maxLength: 20 });

/**
 * Whether a provider that enforces OpenAI's rule accepts these: calls are followed by exactly their
 * outputs.
 */
function keepsTheRule(items: readonly Item[]): boolean {
  const open: string[] = [];
  for (const [i, item] of items.entries()) {
    if (item.type === 'function_call_output') {
      const at = open.indexOf(item.call_id);
      if (at < 0) return false;
      open.splice(at, 1);
    } else if (item.type === 'function_call') {
      if (open.length > 0 && items[i - 1]?.type !== 'function_call') return false;
      open.push(item.call_id);
    } else if (open.length > 0) return false;
  }
  return open.length === 0;
}

describe('contextFor', () => {
  it('sends each call with its output directly behind the calls of its answer, for any history [CONV-8]', () => {
    fc.assert(
      fc.property(history, fc.array(anyItem, { maxLength: 4 }), fc.nat({ max: 12 }), (past, input, max) => {
        const items = contextFor(
          past.map(([item, withheld]) => stored(item, withheld)),
          kept(input),
          max,
        );
        expect(keepsTheRule(items)).toBe(true);
        const messages = input.filter(({ type }) => type === 'message');
        expect(items.filter((item) => messages.includes(item))).toEqual(messages);
        const withheld = past.filter(([, hidden]) => hidden).map(([item]) => item);
        expect(items.filter((item) => withheld.includes(item))).toEqual([]);
      }),
      { seed: 11 },
    );
  });

  it('puts an output behind its call if the user wrote a message in between [CONV-8]', () => {
    expect(sent([message('q'), call('1'), message('meanwhile'), said('yes')], [output('1')])).toBe(
      'q fc_1 fco_1 meanwhile yes',
    );
    expect(sent([message('q'), call('1')], [message('and'), output('1')])).toBe('q fc_1 fco_1 and');
  });

  it('puts the text of an answer before the calls of the same answer [CONV-8]', () => {
    expect(sent([message('q'), said('a'), call('1'), said('b'), call('2')], [output('2'), output('1')])).toBe(
      'q a b fc_1 fc_2 fco_1 fco_2',
    );
  });

  it('keeps the steps of a tool loop apart', () => {
    expect(sent([message('q'), call('1'), output('1'), call('2')], [output('2')])).toBe('q fc_1 fco_1 fc_2 fco_2');
  });

  it('sends each of two calls that are answered in two requests once its own output arrived', () => {
    expect(sent([message('q'), call('1'), call('2')], [output('1')])).toBe('q fc_1 fco_1');
    expect(sent([message('q'), call('1'), call('2'), output('1'), said('x')], [output('2')])).toBe(
      'q fc_1 fc_2 fco_1 fco_2 x',
    );
  });

  it('keeps calls apart when the provider uses an id again', () => {
    const history = [message('q'), call('0'), output('0'), said('x'), message('r'), call('0')];
    expect(sent(history, [output('0')])).toBe('q fc_0 fco_0 x r fc_0 fco_0');
  });

  it('omits an output that is repeated or has no call', () => {
    expect(sent([message('q'), call('1'), output('1'), output('1'), output('2')], [message('on')])).toBe(
      'q fc_1 fco_1 on',
    );
  });

  it('sends all of the input, however small the window', () => {
    expect(sent([message('old')], [message('a'), message('b')], 1)).toBe('a b');
  });

  it('includes the call of an output in the input, also from before the window', () => {
    expect(sent([call('1'), message('a'), message('b'), message('c')], [output('1')], 2)).toBe('fc_1 fco_1 c');
  });

  it('omits items of a later version without counting them in the window', () => {
    const note = { type: 'note', id: 'note_1', status: 'completed' } as unknown as Item;
    expect(sent([message('a'), note, note], [message('b')], 2)).toBe('a b');
  });
});

describe('strayOutput', () => {
  it('finds an output without an earlier call, in history or input', () => {
    expect(strayOutput(kept([call('1')]), [output('1')])).toBeUndefined();
    expect(strayOutput([], [call('1'), output('1')])).toBeUndefined();
    expect(strayOutput(kept([call('1')]), [output('2')])).toEqual({ index: 0, repeated: false });
    expect(strayOutput([], [output('1'), call('1')])).toEqual({ index: 0, repeated: false });
  });

  it('finds the second output of a call', () => {
    expect(strayOutput(kept([call('1')]), [output('1'), output('1')])).toEqual({ index: 1, repeated: true });
    expect(strayOutput(kept([call('1'), output('1')]), [message('a'), output('1')])).toEqual({
      index: 1,
      repeated: true,
    });
  });

  it('accepts another output for a call whose first output was withheld', () => {
    expect(strayOutput([stored(call('1')), stored(output('1'), true)], [output('1')])).toBeUndefined();
  });
});

describe('behindSummary', () => {
  const summary = (id: string, last_id: string): StoredItem => ({
    item: {
      type: 'compaction',
      id,
      encrypted_content: 'x',
      status: 'completed',
      sluice: { author: 'model', replaces: { first_id: 'a', last_id, items: 1 } },
    },
    responseId: null,
    withheld: false,
  });
  const said = (id: string): StoredItem => ({
    item: { type: 'message', id, role: 'user', status: 'completed', content: [] },
    responseId: null,
    withheld: false,
  });
  const newer = (...history: StoredItem[]): string[] => behindSummary(history).newer.map(({ item }) => item.id);

  it.each([
    ['up to the last replaced item', [said('a'), said('b'), summary('s', 'a'), said('c')], ['b', 'c']],
    ['of an earlier summary, too', [said('a'), said('b'), summary('s', 'a'), said('c'), summary('t', 'c')], []],
    ['nothing, if the replaced items were removed', [said('b'), summary('s', 'a'), said('c')], ['b', 'c']],
    ['nothing without a summary', [said('a'), said('b')], ['a', 'b']],
  ])('leaves out %s', (_what, history, ids) => {
    expect(newer(...history)).toEqual(ids);
  });

  it('keeps the summary in the window', () => {
    const history = [said('a'), said('b'), summary('s', 'a'), said('c'), said('d')];
    expect(contextFor(history, [said('e')], 3).map(({ id }) => id)).toEqual(['s', 'd', 'e']);
  });
});
