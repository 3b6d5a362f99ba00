/* Texts of messages. What a provider is sent of them is in context.spec.ts. */

import { describe, expect, it } from '@jest/globals';
import { type MessageItem, messageText } from '../../../src/domain/item.js';

const message = (text: string): MessageItem => ({
  type: 'message',
  id: `msg_${text}`,
  role: 'user',
  status: 'completed',
  content: [{ type: 'input_text', text }],
});

describe('messageText', () => {
  it('joins parts, and refusals only on request', () => {
    const item: MessageItem = {
      ...message('a'),
      content: [
        { type: 'input_text', text: 'a' },
        { type: 'refusal', refusal: 'b' },
        { type: 'output_text', text: 'c', annotations: [], logprobs: [] },
      ],
    };
    expect(messageText(item)).toBe('a\nc');
    expect(messageText(item, true)).toBe('a\nb\nc');
  });
});

describe('a part of a later version', () => {
  // As a later version writes it.
  const withPicture = {
    ...message('see'),
    content: [{ type: 'input_image', image_url: 'x' }, ...message('see').content],
  } as unknown as MessageItem;

  it('reads no text from a part of a later version', () => expect(messageText(withPicture)).toBe('see'));
});
