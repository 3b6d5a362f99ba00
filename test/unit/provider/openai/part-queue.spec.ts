/* Parts between who pushes and who pulls: nothing lost, nothing out of order, and text that waits only where it may. */

import { describe, expect, it } from '@jest/globals';
import { type ProviderPart } from '../../../../src/provider/provider.js';
import { PartQueue } from '../../../../src/provider/openai/part-queue.js';

const text = (value: string): ProviderPart => ({ type: 'text', text: value });
const FINISH: ProviderPart = { type: 'finish', reason: 'stop' };

/** A queue whose text waits for `deliver`. */
function gathering(): { readonly queue: PartQueue; readonly waiting: (() => void)[] } {
  const waiting: (() => void)[] = [];
  return { queue: new PartQueue((deliver) => waiting.push(deliver)), waiting };
}

async function taken(queue: PartQueue): Promise<ProviderPart | undefined> {
  return (await queue.next()).value;
}

describe('PartQueue', () => {
  it('joins nothing where nothing may wait', async () => {
    const queue = new PartQueue();
    queue.push([text('a'), text('b')]);
    expect([await taken(queue), await taken(queue)]).toEqual([text('a'), text('b')]);
  });

  it('hands the first text over at once and joins what comes until the next may go', async () => {
    const { queue, waiting } = gathering();
    const first = queue.next();
    queue.push([text('a')]);
    expect((await first).value).toEqual(text('a'));
    const second = queue.next();
    queue.push([text('b')]);
    queue.push([text('c')]);
    expect(waiting).toHaveLength(1);
    expect(queue.size).toBe(2);
    waiting[0]?.();
    expect((await second).value).toEqual(text('bc'));
    expect(queue.size).toBe(0);
  });

  it('lets nothing but text wait, and the text before it no longer', async () => {
    const { queue } = gathering();
    queue.push([text('a')]);
    await taken(queue);
    const next = queue.next();
    queue.push([text('b')]);
    queue.push([FINISH]);
    expect((await next).value).toEqual(text('b'));
    expect(await taken(queue)).toEqual(FINISH);
  });

  it('hands waiting text over before its end, and throws at once where it must', async () => {
    const { queue, waiting } = gathering();
    queue.push([text('a')]);
    await taken(queue);
    const next = queue.next();
    queue.push([text('b')]);
    queue.end();
    expect((await next).value).toEqual(text('b'));
    expect(await queue.next()).toEqual({ value: undefined, done: true });
    waiting[0]?.();

    const cut = gathering().queue;
    cut.push([text('a')]);
    await taken(cut);
    const pull = cut.next();
    cut.push([text('b')]);
    cut.fail(new Error('stop'), true);
    await expect(pull).rejects.toThrow('stop');
  });

  it('hands over what is at hand to who comes back for it', async () => {
    const { queue, waiting } = gathering();
    queue.push([text('a')]);
    await taken(queue);
    queue.push([text('b')]);
    expect(waiting).toHaveLength(0);
    expect(await taken(queue)).toEqual(text('b'));
  });
});
