/*
 * The bytes of an event: serialized once, equal to JSON.stringify, with the stream_id inserted
 * without parsing.
 */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isTerminal, type ResponseEvent, serialize, withStreamId } from '../../../src/domain/event.js';
import { responseOf } from './responses.js';

const delta = (text: string): ResponseEvent => ({
  type: 'response.output_text.delta',
  item_id: 'msg_1',
  output_index: 0,
  content_index: 0,
  delta: text,
  logprobs: [],
});

// Includes lone surrogates: a provider may cut a character in two.
const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constant('\ud83d'), fc.constant('\u2028"\\\n'));

describe('serialize', () => {
  it('inserts the sequence number into every kind of event', () => {
    const event: ResponseEvent = { type: 'response.created', response: responseOf() };
    expect(JSON.parse(serialize(event, 4).json)).toEqual({ ...event, sequence_number: 4 });
  });
});

describe('withStreamId', () => {
  it('adds the stream_id and changes nothing else, for any text and name', () => {
    fc.assert(
      fc.property(anyText, anyText, (text, lane) => {
        const { json } = serialize(delta(text), 1);
        expect(JSON.parse(withStreamId(json, lane))).toEqual({ ...(JSON.parse(json) as object), stream_id: lane });
      }),
      { seed: 3 },
    );
  });
});

describe('isTerminal', () => {
  it('recognizes the three terminal events', () => {
    expect((['response.completed', 'response.incomplete', 'response.failed'] as const).every(isTerminal)).toBe(true);
    expect(isTerminal('response.output_item.done')).toBe(false);
  });
});
