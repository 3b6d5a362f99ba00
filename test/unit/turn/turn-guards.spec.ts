/* How the items of a carried history are judged: each once, and a noting rule is recorded once. */

import { describe, expect, it } from '@jest/globals';
import { type Item } from '../../../src/domain/item.js';
import { TurnGuards } from '../../../src/turn/turn-guards.js';

function said(role: 'user' | 'assistant', text: string): Item {
  const type = role === 'user' ? 'input_text' : 'output_text';
  // A message as a client sends it: only these fields are read by the guards.
  return { type: 'message', role, content: [{ type, text }] } as unknown as Item;
}

const signal = new AbortController().signal;
const monitor = { type: 'banned_words', enabled: true, params: { words: ['planted'] }, mode: 'monitor' } as const;

describe('TurnGuards', () => {
  it('records a rule that notes several new messages once, and nothing of answered ones', () => {
    const guards = new TurnGuards([monitor]);
    const input = ['planted', 'planted again', 'a planted end'].map((text) => said('user', text));
    expect(guards.checkInput(null, input, signal)).toMatchObject({
      notes: [{ guardrail: 'banned_words', decision: 'note', stage: 'input' }],
    });
    const answered = [said('user', 'planted'), said('assistant', 'planted'), said('user', 'a question')];
    expect(guards.checkInput(null, answered, signal)).toEqual({ notes: [] });
  });

  it('withholds earlier messages that do not pass, and lets the last message of the user decide', () => {
    const guards = new TurnGuards([{ ...monitor, mode: 'enforce' }]);
    const [refused, fine] = [said('user', 'planted'), said('user', 'a question')];
    const input = [refused, fine];
    expect(guards.judgeHistory(null, input).withheld).toEqual(new Set([refused]));
    expect(guards.checkInput(null, input, signal)).toEqual({ notes: [] });
    expect(guards.checkInput(null, [fine, refused], signal)).toMatchObject({ deny: { finding: { decision: 'deny' } } });
  });

  it('judges a history again for another prompt', () => {
    const guards = new TurnGuards([]);
    const input = [said('user', 'planted'), said('user', 'a question')];
    expect(guards.judgeHistory(null, input).withheld.size).toBe(0);
    // Of a prompt, the guards read its guardrails only.
    const prompt = { guardrails: [{ ...monitor, mode: 'enforce' }] } as unknown as Parameters<
      TurnGuards['judgeHistory']
    >[0];
    expect(guards.judgeHistory(prompt, input).withheld.size).toBe(1);
    expect(guards.judgeHistory(null, input).withheld.size).toBe(0);
  });
});
