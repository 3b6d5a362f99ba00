/*
 * Parts between producer and reader: nothing lost, nothing out of order, and texts that arrive
 * together joined.
 */

import { describe, expect, it } from '@jest/globals';
import { type ProviderPart } from '../../../../src/provider/provider.js';
import { PartQueue } from '../../../../src/provider/wire/part-queue.js';

const text = (value: string): ProviderPart => ({ type: 'text', text: value });
const FINISH: ProviderPart = { type: 'finish', reason: 'stop' };

async function taken(queue: PartQueue): Promise<ProviderPart | undefined> {
  return (await queue.next()).value;
}

describe('PartQueue', () => {
  it('joins waiting texts, and counts them one by one', async () => {
    const queue = new PartQueue();
    queue.push([text('a'), text('b')]);
    queue.push([text('c'), FINISH, text('d')]);
    expect(queue.size).toBe(5);
    expect([await taken(queue), await taken(queue), await taken(queue)]).toEqual([text('abc'), FINISH, text('d')]);
    expect(queue.size).toBe(0);
  });

  it('gives a waiting reader everything that one read has brought', async () => {
    const queue = new PartQueue();
    const first = queue.next();
    queue.push([text('a')]);
    queue.push([text('b')]);
    expect((await first).value).toEqual(text('ab'));
    const second = queue.next();
    queue.push([text('c')]);
    queue.push([FINISH]);
    expect((await second).value).toEqual(text('c'));
    expect(await taken(queue)).toEqual(FINISH);
  });

  it('yields waiting text before its end, and throws at once on request', async () => {
    const queue = new PartQueue();
    const next = queue.next();
    queue.push([text('b')]);
    queue.end();
    expect((await next).value).toEqual(text('b'));
    expect(await queue.next()).toEqual({ value: undefined, done: true });

    const cut = new PartQueue();
    const pull = cut.next();
    cut.push([text('b')]);
    cut.fail(new Error('stop'), true);
    await expect(pull).rejects.toThrow('stop');
    expect(await cut.next()).toEqual({ value: undefined, done: true });
  });

  it('throws after the queued parts, and only once', async () => {
    const queue = new PartQueue();
    queue.push([text('a')]);
    queue.fail(new Error('later'));
    expect(await taken(queue)).toEqual(text('a'));
    await expect(queue.next()).rejects.toThrow('later');
    expect(await queue.next()).toEqual({ value: undefined, done: true });
  });

  it('accepts nothing after its end', async () => {
    const queue = new PartQueue();
    queue.end();
    queue.push([text('a')]);
    expect(await queue.next()).toEqual({ value: undefined, done: true });
  });
});
