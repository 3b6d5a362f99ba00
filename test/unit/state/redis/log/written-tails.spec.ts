import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { serialize } from '../../../../../src/domain/event.js';
import { WrittenTails } from '../../../../../src/state/redis/log/written-tails.js';

const event = (sequence: number, text = 'x') =>
  serialize({ type: 'response.refusal.delta', item_id: 'm', output_index: 0, content_index: 0, delta: text }, sequence);
const events = (from: number, count: number, text?: string) =>
  Array.from({ length: count }, (_, i) => event(from + i, text));

describe('WrittenTails', () => {
  it('returns the events of a tail exactly, and nothing when some are missing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 }),
        fc.nat(300),
        fc.nat(40),
        (sizes, from, length) => {
          const tails = new WrittenTails({ maxEvents: 20 });
          let next = 0;
          for (const size of sizes) {
            tails.add('resp', events(next, size));
            next += size;
          }
          const found = tails.between('resp', from, from + length);
          if (found !== undefined) expect(found).toEqual(events(from, length));
          const within = from >= Math.max(0, next - 20) && from < next && from + length <= next;
          if (within) expect(found).toHaveLength(length);
        },
      ),
      { seed: 4, numRuns: 300 },
    );
  });

  it('holds few characters for events of any size', () => {
    const tails = new WrittenTails({ maxEvents: 100, maxCharacters: 1_000 });
    for (let i = 0; i < 50; i++) tails.add('resp', [event(i, 'x'.repeat(400))]);
    expect(tails.between('resp', 49, 50)).toEqual([event(49, 'x'.repeat(400))]);
    expect(tails.between('resp', 40, 50)).toBeUndefined();
  });

  it('forgets a response that has ended, and knows no unseen one', () => {
    const tails = new WrittenTails();
    tails.add('resp', events(0, 3));
    expect(tails.size).toBe(1);
    tails.end('resp');
    expect(tails.size).toBe(0);
    expect(tails.between('resp', 0, 3)).toBeUndefined();
    expect(tails.between('other', 0, 0)).toBeUndefined();
  });
});
