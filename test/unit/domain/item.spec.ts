/* What a provider is sent of a conversation: no call without its output, no output without its call, nothing withheld. */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  contextFor,
  type Item,
  type MessageItem,
  messageText,
  type StoredItem,
  unansweredOutput,
} from '../../../src/domain/item.js';

const message = (text: string): MessageItem => ({
  type: 'message',
  id: `msg_${text}`,
  role: 'user',
  status: 'completed',
  content: [{ type: 'input_text', text }],
});
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
const ids = (items: readonly Item[]): string[] => items.map(({ id }) => id);

/** A dialogue: each turn says something or calls functions, whose outputs come in the next turn or never. */
const dialogue = fc
  .array(fc.record({ calls: fc.nat({ max: 2 }), answered: fc.boolean(), withheld: fc.boolean() }), { maxLength: 8 })
  .map((turns) =>
    turns.flatMap(({ calls, answered, withheld }, turn) => {
      const names = Array.from({ length: calls }, (_, i) => `${turn}.${i}`);
      return [
        stored(message(String(turn)), withheld),
        ...names.map((name) => stored(call(name))),
        ...(answered ? names.map((name) => stored(output(name))) : []),
      ];
    }),
  );

describe('contextFor', () => {
  it('never separates a call from its output, in order, within its bound but for calls that the input answers', () => {
    fc.assert(
      fc.property(dialogue, fc.nat({ max: 12 }), fc.boolean(), (history, max, answers) => {
        const open = history.filter(
          ({ item }) =>
            item.type === 'function_call' &&
            !history.some((other) => other.item.type === 'function_call_output' && other.item.call_id === item.call_id),
        );
        const answered = open.at(-1)?.item;
        const input = answers && answered?.type === 'function_call' ? [output(answered.call_id)] : [message('now')];
        const sent = contextFor(history, input, max);
        const calls = sent.flatMap((item) => (item.type === 'function_call' ? [item.call_id] : []));
        const outputs = sent.flatMap((item) => (item.type === 'function_call_output' ? [item.call_id] : []));
        expect([...calls].sort()).toEqual([...outputs].sort());
        for (const id of calls) expect(ids(sent).indexOf(`fc_${id}`)).toBeLessThan(ids(sent).indexOf(`fco_${id}`));
        expect(ids(sent).slice(-input.length)).toEqual(ids(input));
        expect(sent.length).toBeLessThanOrEqual(Math.max(max, input.length) + 1);
        const withheld = history.filter((item) => item.withheld).map(({ item }) => item.id);
        expect(ids(sent).filter((id) => withheld.includes(id))).toEqual([]);
        const all = [...history.map(({ item }) => item.id), ...ids(input)];
        expect(ids(sent).map((id) => all.indexOf(id))).toEqual(
          ids(sent)
            .map((id) => all.indexOf(id))
            .sort((a, b) => a - b),
        );
      }),
      { seed: 11 },
    );
  });

  it('sends all of the input, however small the window', () => {
    expect(ids(contextFor([stored(message('old'))], [message('a'), message('b')], 1))).toEqual(['msg_a', 'msg_b']);
  });

  it('takes a call along that the input answers, from before the window', () => {
    const history = [stored(call('1')), ...['a', 'b', 'c'].map((text) => stored(message(text)))];
    expect(ids(contextFor(history, [output('1')], 2))).toEqual(['fc_1', 'msg_c', 'fco_1']);
  });
});

describe('unansweredOutput', () => {
  it('finds an output without a call, in history or input', () => {
    expect(unansweredOutput([stored(call('1'))], [output('1')])).toBeUndefined();
    expect(unansweredOutput([], [call('1'), output('1')])).toBeUndefined();
    expect(unansweredOutput([stored(call('1'))], [output('2')])).toMatchObject({ call_id: '2' });
  });
});

describe('messageText', () => {
  it('joins parts, refusals only where asked for', () => {
    const item: MessageItem = {
      ...message('a'),
      content: [
        { type: 'input_text', text: 'a' },
        { type: 'refusal', refusal: 'b' },
        { type: 'output_text', text: 'c', annotations: [], logprobs: [] },
      ],
    };
    expect(messageText(item)).toBe('ac');
    expect(messageText(item, true)).toBe('abc');
  });
});

describe('what only a later version knows', () => {
  // As it wrote them.
  const note = { type: 'note', id: 'note_1', status: 'completed' } as unknown as Item;
  const withPicture = {
    ...message('see'),
    content: [{ type: 'input_image', image_url: 'x' }, ...message('see').content],
  } as unknown as MessageItem;

  it('is not sent to a provider, and takes nobody’s place', () => {
    const history = [stored(message('a')), stored(note), stored(note)];
    expect(ids(contextFor(history, [message('b')], 2))).toEqual(['msg_a', 'msg_b']);
  });

  it('has no text', () => expect(messageText(withPicture)).toBe('see'));
});
