import { describe, expect, it } from '@jest/globals';
import { type MessageItem, type StoredItem } from '../../../src/domain/item.js';
import { derivedTitle } from '../../../src/domain/conversation-title.js';

const said = (text: string, role: MessageItem['role'] = 'user', withheld = false): StoredItem => ({
  item: { type: 'message', id: 'msg_1', role, status: 'completed', content: [{ type: 'input_text', text }] },
  responseId: null,
  withheld,
});

describe('a derived title', () => {
  it('derives a title from the first user text that may be shown', () => {
    const items = [said('You are kind', 'system'), said('bad', 'user', true), said(' \n '), said('Hello'), said('Bye')];
    expect(derivedTitle(items)).toEqual({ text: 'Hello', itemId: 'msg_1' });
    expect(derivedTitle(items.slice(0, 3))).toBeNull();
  });

  it.each([
    ['a short one stays', 'What is\n\tthis?', 'What is this?'],
    ['60 characters stay', 'x'.repeat(60), 'x'.repeat(60)],
    ['a longer one ends at a word', `${'word '.repeat(20)}`, `${'word '.repeat(12).trim()}…`],
    ['or in one that is too long', `a ${'x'.repeat(80)}`, `a ${'x'.repeat(58)}…`],
    ['no character is cut in two', '👩‍👩‍👧'.repeat(61), `${'👩‍👩‍👧'.repeat(60)}…`],
  ])('cuts a derived title at a word within 60 characters: %s', (_what, text, title) => {
    expect(derivedTitle([said(text)])?.text).toBe(title);
  });
});
