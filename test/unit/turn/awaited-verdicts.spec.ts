/* A provider's stream beside the verdicts that guardrails wait for. */

import { describe, expect, it } from '@jest/globals';
import { type ProviderPart } from '../../../src/provider/provider.js';
import { type AwaitedGuard, withVerdicts } from '../../../src/turn/awaited-verdicts.js';

const text = (said: string): ProviderPart => ({ type: 'text', text: said });

/** A stream whose parts are delivered by hand, and which counts how often it was read. */
class HandStream implements AsyncIterable<ProviderPart>, AsyncIterator<ProviderPart> {
  reads = 0;
  left = false;
  #next = Promise.withResolvers<IteratorResult<ProviderPart>>();

  [Symbol.asyncIterator](): this {
    return this;
  }
  next(): Promise<IteratorResult<ProviderPart>> {
    this.reads += 1;
    return this.#next.promise;
  }
  deliver(part: ProviderPart): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers();
    resolve({ value: part, done: false });
  }
  fail(error: Error): void {
    this.#next.reject(error);
  }
  return(): Promise<IteratorResult<ProviderPart>> {
    this.left = true;
    return Promise.resolve({ value: undefined, done: true });
  }
}

class HandGuard implements AwaitedGuard {
  held = 0;
  verdict: PromiseWithResolvers<void> | undefined;
  waiting(): Promise<void> | undefined {
    return this.verdict?.promise;
  }
  conclude(part: ProviderPart): Promise<boolean> {
    return Promise.resolve(part.type === 'finish');
  }
  decide(): void {
    const { verdict } = this;
    this.verdict = undefined;
    verdict?.resolve();
  }
}

function setUp(holdMax: number) {
  const [stream, guard] = [new HandStream(), new HandGuard()];
  return { stream, guard, parts: withVerdicts(stream, guard, holdMax) };
}

describe('withVerdicts', () => {
  it('yields a verdict when it arrives, without a part of the provider', async () => {
    const { stream, guard, parts } = setUp(10);
    const first = parts.next();
    stream.deliver(text('a'));
    expect((await first).value).toEqual(text('a'));
    guard.verdict = Promise.withResolvers();
    const second = parts.next();
    guard.decide();
    expect((await second).value).toEqual({ type: 'verdict' });
    expect(stream.reads).toBe(2);
    const third = parts.next();
    stream.deliver(text('b'));
    expect((await third).value).toEqual(text('b'));
    expect(stream.reads).toBe(2);
  });

  it('does not read the provider while more than hold_max is held', async () => {
    const { stream, guard, parts } = setUp(10);
    guard.verdict = Promise.withResolvers();
    guard.held = 10;
    const waits = parts.next();
    guard.decide();
    expect((await waits).value).toEqual({ type: 'verdict' });
    expect(stream.reads).toBe(0);
  });

  it('yields a verdict before the part that ends a text', async () => {
    const { stream, parts } = setUp(10);
    const first = parts.next();
    stream.deliver({ type: 'finish', reason: 'stop' });
    expect((await first).value).toEqual({ type: 'verdict' });
    expect((await parts.next()).value).toEqual({ type: 'finish', reason: 'stop' });
  });

  it('throws the error of the provider, also while a verdict is outstanding', async () => {
    const { stream, guard, parts } = setUp(10);
    guard.verdict = Promise.withResolvers();
    const next = parts.next();
    stream.fail(new Error('cut'));
    await expect(next).rejects.toThrow('cut');
  });

  it('closes the provider when its reader leaves', async () => {
    const { stream, parts } = setUp(10);
    const first = parts.next();
    stream.deliver(text('a'));
    await first;
    await parts.return(undefined);
    expect(stream.left).toBe(true);
  });
});
