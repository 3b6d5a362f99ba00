/*
 * The thread that counts tokens: answers go to the right caller, and a new thread replaces one that
 * has died.
 */

import { describe, expect, it } from '@jest/globals';
import { TokenCounter } from '../../../src/provider/token-counter.js';

describe('TokenCounter', () => {
  it('answers each request with its own counts', async () => {
    const counter = new TokenCounter();
    const answers = await Promise.all([counter.count(['Hello world', '']), counter.count(['one two three four'])]);
    expect(answers).toEqual([[2, 0], [4]]);
  });

  it('rejects waiting callers when the thread dies, and starts another for the next request', async () => {
    const counter = new TokenCounter();
    // Not a text: the thread fails on it.
    const broken = counter.count([undefined as unknown as string]);
    const beside = counter.count(['beside']);
    await expect(broken).rejects.toThrow();
    await expect(beside).rejects.toThrow();
    expect(await counter.count(['after'])).toEqual([1]);
  });
});
