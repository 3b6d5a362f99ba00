/* What one connection remembers of responses that are not stored: owners and bounds. */

import { describe, expect, it } from '@jest/globals';
import { type StoredItem } from '../../../src/domain/item.js';
import { UnstoredResponses, UnstoredRoom } from '../../../src/turn/unstored-responses.js';
import { ALICE, BOB, userItem } from './turn-harness.js';

const context = (length: number): readonly StoredItem[] => [
  { item: { ...userItem('x'.repeat(length)), id: 'msg_1' }, responseId: null, withheld: false },
];
/**
 * Room for about three contexts of 1,000 characters in one connection, five of one owner, seven in
 * all.
 */
const BOUNDS = { perConnection: 5_000, perOwner: 8_000, total: 11_500 };

describe('unstored responses of a connection', () => {
  it('finds unstored responses for their owner until the connection closes, and not after it', () => {
    const room = new UnstoredRoom();
    const mine = new UnstoredResponses(room);
    mine.remember(ALICE.owner, 'resp_1', context(5));
    expect(mine.contextOf(ALICE, 'resp_1')).toEqual(context(5));
    expect([mine.contextOf(BOB, 'resp_1'), mine.contextOf(ALICE, 'resp_2')]).toEqual([undefined, undefined]);
    expect(new UnstoredResponses(room).contextOf(ALICE, 'resp_1')).toBeUndefined();
    mine.close();
    mine.remember(ALICE.owner, 'resp_3', context(5));
    expect([mine.contextOf(ALICE, 'resp_1'), mine.contextOf(ALICE, 'resp_3')]).toEqual([undefined, undefined]);
    expect(room.bytes).toBe(0);
  });

  it('forgets the oldest unstored responses beyond the bytes of a connection, and leaves out one that is too large alone', () => {
    const mine = new UnstoredResponses(new UnstoredRoom(BOUNDS));
    for (const id of ['resp_1', 'resp_2', 'resp_3', 'resp_4']) mine.remember(ALICE.owner, id, context(1_000));
    mine.remember(ALICE.owner, 'resp_large', context(5_000));
    const known = ['resp_1', 'resp_2', 'resp_3', 'resp_4', 'resp_large'].filter((id) => mine.contextOf(ALICE, id));
    expect(known).toEqual(['resp_2', 'resp_3', 'resp_4']);
  });

  it('remembers no unstored responses beyond the bytes of their owner and of the replica, until a connection closes', () => {
    const room = new UnstoredRoom(BOUNDS);
    const remembered = (owner: typeof ALICE, count: number) => {
      const connection = new UnstoredResponses(room);
      const ids = Array.from({ length: count }, (_, i) => `resp_${i}`);
      for (const id of ids) connection.remember(owner.owner, id, context(1_000));
      return { connection, kept: ids.filter((id) => connection.contextOf(owner, id)).length };
    };
    const first = remembered(ALICE, 3);
    expect([first.kept, remembered(ALICE, 3).kept]).toEqual([3, 2]);
    expect(remembered(BOB, 3).kept).toBe(2);
    first.connection.close();
    expect(remembered(BOB, 3).kept).toBe(3);
    expect(room.bytes).toBeLessThanOrEqual(BOUNDS.total);
  });
});
