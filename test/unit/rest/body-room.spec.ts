import { describe, expect, it } from '@jest/globals';
import { BodyRoom } from '../../../src/rest/body-room.js';

describe('the room for bodies', () => {
  it('accepts one body of any size, and a second one of the same sender within a quarter of the room [REST-23]', () => {
    const room = new BodyRoom({ maxBytes: 1_000 });
    room.reserve('a', 5_000)();
    room.reserve('a', 100);
    room.reserve('a', 150);
    expect(() => room.reserve('a', 1)).toThrow(expect.objectContaining({ code: 'rate_limit_exceeded' }));
  });

  it('refuses bodies of all senders when the replica has no room [REST-23]', () => {
    const room = new BodyRoom({ maxBytes: 1_000 });
    const release = room.reserve('a', 900);
    room.reserve('b', 100);
    expect(() => room.reserve('c', 1)).toThrow(
      expect.objectContaining({ code: 'overloaded', retryAfterMs: 1_000, status: 503 }),
    );
    release();
    room.reserve('c', 1);
  });

  it('gives the room of a body back once, however often it is released [REST-23]', () => {
    const seen: number[] = [];
    const room = new BodyRoom({ maxBytes: 1_000, onChange: (bytes) => seen.push(bytes) });
    const release = room.reserve('a', 200);
    room.reserve('b', 300);
    release();
    release();
    expect(seen).toEqual([200, 500, 300]);
  });
});
