/* Log probabilities in chunks: read only if they are wanted, in whatever shape they come. */

import { describe, expect, it } from '@jest/globals';
import { ChatChunkReader } from '../../../../src/provider/openai/chat-chunks.js';
import { type ProviderPart } from '../../../../src/provider/provider.js';

const HI = { token: 'Hi', logprob: -0.5, bytes: [72, 105], top_logprobs: [{ token: 'Ho', logprob: -2, bytes: null }] };
const READ = { ...HI, top_logprobs: [{ token: 'Ho', logprob: -2, bytes: [72, 111] }] };
const TEXT: ProviderPart = { type: 'text', text: 'Hi' };

function partsOf(wanted: boolean, ...choices: readonly object[]): ProviderPart[] {
  const parts: ProviderPart[] = [];
  const reader = new ChatChunkReader(wanted);
  for (const choice of choices) {
    reader.push(JSON.stringify({ choices: [{ index: 0, delta: { content: 'Hi' }, ...choice }] }), parts);
  }
  return parts;
}

describe('log probabilities of a chunk', () => {
  it('reads the log probabilities of a chunk before its text if requested, also of equal chunks', () => {
    const choice = { logprobs: { content: [HI], refusal: null } };
    const both = [{ type: 'logprobs', tokens: [READ] }, TEXT];
    expect(partsOf(true, choice, choice, choice)).toEqual([...both, ...both, ...both]);
    expect(partsOf(false, choice, choice, choice)).toEqual([TEXT, TEXT, TEXT]);
  });

  it.each([
    [null],
    [7],
    [{ content: null }],
    [{ content: 'Hi' }],
    [{ content: [] }],
    [{ content: [null, 'Hi', { token: 7, logprob: -1 }, { token: 'Hi' }, { token: 'Hi', logprob: 'low' }] }],
  ])('leaves out log probabilities that are %j', (logprobs) => {
    expect(partsOf(true, { logprobs })).toEqual([TEXT]);
  });

  it('reads at most 20 alternatives of a token, and adds missing bytes', () => {
    const top_logprobs = Array.from({ length: 30 }, () => ({ token: 'a', logprob: -9, bytes: [256] }));
    const [part] = partsOf(true, { logprobs: { content: [{ token: '\u00e9', logprob: 0, top_logprobs }] } });
    expect(part).toMatchObject({ tokens: [{ bytes: [0xc3, 0xa9] }] });
    const tokens = part?.type === 'logprobs' ? part.tokens : [];
    expect(tokens[0]?.top_logprobs).toEqual(
      Array.from({ length: 20 }, () => ({ token: 'a', logprob: -9, bytes: [97] })),
    );
  });

  it('reads no log probabilities of reasoning', () => {
    const [part] = partsOf(true, { delta: { reasoning_content: 'Hm' }, logprobs: { content: [HI] } });
    expect(part).toEqual({ type: 'reasoning', text: 'Hm' });
  });
});
