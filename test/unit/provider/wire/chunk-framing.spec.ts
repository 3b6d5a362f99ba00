/*
 * The framing of chunked bodies: data is passed on as it arrives, and what is unusual is left to
 * the HTTP client.
 */

import { describe, expect, it } from '@jest/globals';
import { ChunkFraming } from '../../../../src/provider/wire/chunk-framing.js';

function reading(framing: ChunkFraming, bytes: string): { data: string[]; rest: string | undefined } {
  const data: string[] = [];
  const rest = framing.read(Buffer.from(bytes), (chunk) => data.push(chunk.toString()));
  return { data, rest: rest?.toString() };
}

describe('ChunkFraming', () => {
  it('passes the data of each chunk on, and leaves the last chunk to the HTTP client', () => {
    const framing = new ChunkFraming();
    expect(reading(framing, '3\r\nabc\r\nA\r\n0123456789\r\n')).toEqual({
      data: ['abc', '0123456789'],
      rest: undefined,
    });
    expect(framing.atStart).toBe(true);
    expect(reading(framing, '1\r\nd\r\n0\r\n\r\n')).toEqual({ data: ['d'], rest: '0\r\n\r\n' });
  });

  it('reads the same data wherever the bytes are cut', () => {
    const body = '3\r\nabc\r\n00f\r\n0123456789abcde\r\n0\r\nx: y\r\n\r\n';
    for (let cut = 1; cut < body.length; cut++) {
      const framing = new ChunkFraming();
      const head = reading(framing, body.slice(0, cut));
      const tail = head.rest === undefined ? reading(framing, body.slice(cut)) : { data: [], rest: body.slice(cut) };
      expect([...head.data, ...tail.data].join('')).toBe('abc0123456789abcde');
      expect(`${head.rest ?? ''}${tail.rest ?? ''}`).toBe('0\r\nx: y\r\n\r\n');
    }
  });

  it('knows when the next byte begins a chunk', () => {
    const framing = new ChunkFraming();
    const starts = ['2', '\r\n', 'ab', '\r', '\n'].map((bytes) => {
      reading(framing, bytes);
      return framing.atStart;
    });
    expect(starts).toEqual([false, false, false, false, true]);
  });

  it.each([
    ['an extension', '3;a=b\r\nabc\r\n'],
    ['no size', '\r\nabc\r\n'],
    ['a size that is no number', 'xyz\r\n'],
    ['a bare line feed', '3\nabc\r\n'],
    ['a size of too many digits', '000000003\r\nabc\r\n'],
  ])('leaves a chunk with %s to the HTTP client', (_what, bytes) => {
    expect(reading(new ChunkFraming(), `1\r\na\r\n${bytes}`)).toEqual({ data: ['a'], rest: bytes });
  });

  it('throws for data that is longer than its size', () => {
    expect(() => reading(new ChunkFraming(), '1\r\nab\r\n')).toThrow('a chunk is longer than its size');
  });
});
