/* The hand-written serialization must equal JSON.stringify byte by byte. */

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EventSerializer, type ResponseEvent, serialize } from '../../../src/domain/event.js';

const anyText = fc.string({
  unit: fc.oneof(fc.constantFrom('"', '\\', '\n', '\u0000', '\u2028', '\ud83d', '\ude00', '😀', 'é', ' ', 'a')),
});

describe('serialize', () => {
  it('gives a text delta the bytes of JSON.stringify', () => {
    fc.assert(
      fc.property(
        anyText,
        anyText,
        fc.nat(),
        fc.nat(),
        fc.nat(),
        (item_id, delta, output_index, content_index, sequence) => {
          const type = 'response.output_text.delta';
          const event: ResponseEvent = { type, item_id, output_index, content_index, delta, logprobs: [] };
          const expected = {
            type,
            sequence_number: sequence,
            item_id,
            output_index,
            content_index,
            delta,
            logprobs: [],
          };
          expect(serialize(event, sequence)).toEqual({ sequence, type, json: JSON.stringify(expected) });
        },
      ),
      { seed: 20_261 },
    );
  });

  it('writes the place of each delta, in whatever order the places of a response come', () => {
    const index = fc.nat(1);
    const place = fc.record({ item_id: fc.constantFrom('a', 'b', '"'), output_index: index, content_index: index });
    fc.assert(
      fc.property(fc.array(place), (places) => {
        const serializer = new EventSerializer();
        for (const [sequence, at] of places.entries()) {
          const event: ResponseEvent = { type: 'response.output_text.delta', ...at, delta: 'x', logprobs: [] };
          expect(serializer.serialize(event, sequence)).toEqual(serialize(event, sequence));
        }
      }),
      { seed: 20_262 },
    );
  });

  it('writes type and number first for every other event', () => {
    const { json } = serialize(
      { type: 'response.refusal.delta', item_id: 'm', output_index: 0, content_index: 1, delta: 'no' },
      7,
    );
    expect(json).toBe(
      '{"type":"response.refusal.delta","sequence_number":7,"item_id":"m","output_index":0,"content_index":1,"delta":"no"}',
    );
  });
});
