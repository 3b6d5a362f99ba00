/*
 * Folding: any prefix of a response's events gives their text, and closing it gives an order that
 * OpenAI's clients accept.
 */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ResponseAccumulator } from '../../../src/domain/accumulator.js';
import { isTerminal, type ResponseEvent } from '../../../src/domain/event.js';
import { contentPart } from '../../../src/domain/open-item.js';
import { responseOf } from './responses.js';

type Kind = 'text' | 'refusal' | 'call';

interface Piece {
  readonly kind: Kind;
  readonly deltas: readonly string[];
}

const pieces = fc.array(
  fc.record({
    kind: fc.constantFrom<Kind>('text', 'refusal', 'call'),
    deltas: fc.array(fc.string({ maxLength: 5 }), { maxLength: 4 }),
  }),
  { maxLength: 6 },
);

/**
 * Events of a turn for these pieces: consecutive text and refusal are parts of one message, a call
 * is an item of its own.
 */
function eventsOf(given: readonly Piece[]): ResponseEvent[] {
  const events: ResponseEvent[] = [
    { type: 'response.created', response: responseOf() },
    { type: 'response.in_progress', response: responseOf() },
  ];
  const fold = new ResponseAccumulator(responseOf());
  const say = (event: ResponseEvent): void => {
    events.push(event);
    fold.apply(event);
  };
  let item = -1;
  let part = 0;
  let open = false;
  for (const [i, { kind, deltas }] of given.entries()) {
    if (kind === 'call') {
      if (open) for (const event of fold.closingItem(item, 'completed')) say(event);
      open = false;
      item += 1;
      const call = { type: 'function_call', id: `fc_${i}`, call_id: `call_${i}`, name: 'f', arguments: '' } as const;
      say({ type: 'response.output_item.added', output_index: item, item: { ...call, status: 'in_progress' } });
      for (const delta of deltas) {
        say({ type: 'response.function_call_arguments.delta', item_id: call.id, output_index: item, delta });
      }
      continue;
    }
    if (open) {
      for (const event of fold.closingParts(item)) say(event);
      part += 1;
    } else {
      item += 1;
      part = 0;
      open = true;
      const message = { type: 'message', id: `msg_${i}`, role: 'assistant', content: [] } as const;
      say({ type: 'response.output_item.added', output_index: item, item: { ...message, status: 'in_progress' } });
    }
    const at = { item_id: `msg_${i}`, output_index: item, content_index: part };
    const type = kind === 'text' ? 'output_text' : 'refusal';
    say({ type: 'response.content_part.added', ...at, part: contentPart(type, '') });
    for (const delta of deltas) {
      if (type === 'refusal') say({ type: 'response.refusal.delta', ...at, delta });
      else say({ type: 'response.output_text.delta', ...at, delta, logprobs: [] });
    }
  }
  for (const event of fold.closing('completed')) say(event);
  events.push({ type: 'response.completed', response: { ...fold.response(), status: 'completed' } });
  return events;
}

const textIn = (events: readonly ResponseEvent[]): string =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');

function foldOf(events: readonly ResponseEvent[]): ResponseAccumulator {
  const fold = new ResponseAccumulator(responseOf());
  for (const event of events) fold.apply(event);
  return fold;
}

/**
 * Checks that each part and item is closed once, in the reverse order of opening, with no event
 * after its close.
 */
function checkOrder(events: readonly ResponseEvent[]): void {
  const items = new Map<number, 'open' | 'closed'>();
  const parts = new Map<string, 'open' | 'closed'>();
  for (const event of events) {
    const part = 'content_index' in event ? `${event.output_index}/${event.content_index}` : '';
    switch (event.type) {
      case 'response.output_item.added':
        expect(items.get(event.output_index)).toBeUndefined();
        items.set(event.output_index, 'open');
        break;
      case 'response.output_item.done':
        expect(items.get(event.output_index)).toBe('open');
        for (const [name, state] of parts) if (name.startsWith(`${event.output_index}/`)) expect(state).toBe('closed');
        items.set(event.output_index, 'closed');
        break;
      case 'response.content_part.added':
        expect(items.get(event.output_index)).toBe('open');
        expect(parts.get(part)).toBeUndefined();
        parts.set(part, 'open');
        break;
      case 'response.content_part.done':
        expect(parts.get(part)).toBe('open');
        parts.set(part, 'closed');
        break;
      default:
        if (part !== '') expect(parts.get(part)).toBe('open');
        else if ('output_index' in event) expect(items.get(event.output_index)).toBe('open');
    }
  }
  expect([...items.values(), ...parts.values()].filter((state) => state === 'open')).toEqual([]);
}

describe('ResponseAccumulator', () => {
  it('holds the text of its deltas after any prefix; closing it keeps that text and leaves nothing open', () => {
    fc.assert(
      fc.property(pieces, fc.nat(), (given, cut) => {
        const whole = eventsOf(given);
        const events = whole.slice(0, 1 + (cut % whole.length));
        const fold = foldOf(events);
        expect(fold.response().output_text).toBe(textIn(events));
        const closing = fold.closing('incomplete');
        for (const event of closing) fold.apply(event);
        expect(fold.closing('incomplete')).toEqual([]);
        expect(fold.response().output_text).toBe(textIn(events));
        expect(fold.output().filter(({ status }) => status === 'in_progress')).toEqual([]);
        checkOrder([...events, ...closing]);
      }),
      { seed: 7 },
    );
  });

  it('folds events and parsed events to the same response', () => {
    fc.assert(
      fc.property(pieces, (given) => {
        const events = eventsOf(given);
        const parsed = events.map((event) => JSON.parse(JSON.stringify(event)) as ResponseEvent);
        expect(foldOf(parsed).response()).toEqual(foldOf(events).response());
      }),
      { seed: 7 },
    );
  });

  it('returns each done event with the deltas joined', () => {
    fc.assert(
      fc.property(pieces, (given) => {
        const said = new Map<string, string>();
        for (const event of eventsOf(given)) {
          const at =
            'output_index' in event
              ? `${event.output_index}/${'content_index' in event ? event.content_index : ''}`
              : '';
          if ('delta' in event) said.set(at, (said.get(at) ?? '') + event.delta);
          else if (event.type === 'response.output_text.done') expect(event.text).toBe(said.get(at) ?? '');
          else if (event.type === 'response.refusal.done') expect(event.refusal).toBe(said.get(at) ?? '');
          else if (event.type === 'response.function_call_arguments.done')
            expect(event.arguments).toBe(said.get(at) ?? '');
          else if (isTerminal(event.type)) expect(event.type).toBe('response.completed');
        }
      }),
      { seed: 7 },
    );
  });

  it('takes status and facts from the newest event with a response', () => {
    const fold = foldOf(eventsOf([{ kind: 'text', deltas: ['a'] }]));
    expect(fold.response()).toMatchObject({ status: 'completed', output_text: 'a' });
  });

  it('refuses events of items and parts that were never added', () => {
    const at = { item_id: 'm', output_index: 0, content_index: 0 };
    const fold = new ResponseAccumulator(responseOf());
    expect(() => fold.apply({ type: 'response.output_text.delta', ...at, delta: 'a', logprobs: [] })).toThrow(
      /never added/u,
    );
    fold.apply({
      type: 'response.output_item.added',
      output_index: 0,
      item: { type: 'message', id: 'm', role: 'assistant', status: 'in_progress', content: [] },
    });
    expect(() => fold.apply({ type: 'response.output_text.delta', ...at, delta: 'a', logprobs: [] })).toThrow(
      /never added/u,
    );
    expect(() => fold.apply({ type: 'response.function_call_arguments.delta', ...at, delta: 'a' })).toThrow(
      /no function call/u,
    );
  });
});

describe('events of a later version', () => {
  // As a later version writes them to a log.
  const known = (event: object) => event as ResponseEvent;
  const message = { type: 'message', id: 'msg_1', role: 'assistant', status: 'in_progress', content: [] };
  const picture = { type: 'output_image', image: 'p' };

  it('ignores an unknown event, keeps unknown items and parts, and closes them with the rest', () => {
    const fold = new ResponseAccumulator(responseOf());
    const note = { type: 'note', id: 'note_1', status: 'in_progress', text: null };
    for (const event of [
      { type: 'response.note.added', note: 'x' },
      { type: 'response.output_item.added', output_index: 0, item: note },
      { type: 'response.content_part.added', output_index: 0, content_index: 0, part: { type: 'note_text' } },
      { type: 'response.content_part.done', output_index: 0, content_index: 0, part: { type: 'note_text' } },
      { type: 'response.output_item.added', output_index: 1, item: message },
      { type: 'response.content_part.added', output_index: 1, content_index: 0, part: contentPart('output_text', '') },
      { type: 'response.output_text.delta', output_index: 1, content_index: 0, delta: 'seen' },
      { type: 'response.content_part.added', output_index: 1, content_index: 1, part: picture },
    ])
      fold.apply(known(event));
    expect(fold.response()).toMatchObject({
      output: [note, { content: [{ text: 'seen' }, picture] }],
      output_text: 'seen',
    });
    const closing = fold.closing('incomplete');
    expect(closing.map(({ type }) => type)).toEqual([
      'response.output_item.done',
      'response.output_text.done',
      'response.content_part.done',
      'response.content_part.done',
      'response.output_item.done',
    ]);
    for (const event of closing) fold.apply(event);
    expect(fold.output()).toMatchObject([{ ...note, status: 'incomplete' }, { status: 'incomplete' }]);
  });

  it('takes the content of the last done event', () => {
    const fold = new ResponseAccumulator(responseOf());
    for (const event of [
      { type: 'response.output_item.added', output_index: 0, item: { ...message, content: [picture] } },
      { type: 'response.content_part.done', output_index: 0, content_index: 0, part: { ...picture, image: 'whole' } },
      { type: 'response.output_item.added', output_index: 1, item: { type: 'note', id: 'n', status: 'in_progress' } },
      {
        type: 'response.output_item.done',
        output_index: 1,
        item: { type: 'note', id: 'n', status: 'completed', a: 1 },
      },
    ])
      fold.apply(known(event));
    expect(fold.output()).toMatchObject([{ content: [{ image: 'whole' }] }, { status: 'completed', a: 1 }]);
  });
});
