/* The thread that counts tokens: answers to who asked, and a new one after one has died. */

import { describe, expect, it } from '@jest/globals';
import { TokenCounter } from '../../../src/provider/token-counter.js';

describe('TokenCounter', () => {
  it('answers each question with its own counts', async () => {
    const counter = new TokenCounter();
    const answers = await Promise.all([counter.count(['Hello world', '']), counter.count(['one two three four'])]);
    expect(answers).toEqual([[2, 0], [4]]);
  });

  it('tells who waits of a thread that died, and starts another for the next', async () => {
    const counter = new TokenCounter();
    // No text: the thread fails over it.
    const broken = counter.count([undefined as unknown as string]);
    const beside = counter.count(['beside']);
    await expect(broken).rejects.toThrow();
    await expect(beside).rejects.toThrow();
    expect(await counter.count(['after'])).toEqual([1]);
  });
});
