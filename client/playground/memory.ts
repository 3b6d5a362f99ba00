/* What the page remembers over a reload: the conversation, what is shown, and where each running answer stands. */

import { type Note } from './words.js';

export interface RememberedTurn {
  question: string;
  /** Names the request, so that one that was not confirmed yet can be sent again without being asked twice. */
  key: string | null;
  responseId: string | null;
  lastSequence: number;
  text: string;
  refusal: string;
  /** True: nothing more comes. */
  ended: boolean;
  note: Note | null;
  numbers: string;
}

export interface Remembered {
  conversation: string | null;
  token: string;
  turns: RememberedTurn[];
}

const KEY = 'sluice.playground';

export function newTurn(question: string): RememberedTurn {
  return {
    question,
    key: null,
    responseId: null,
    lastSequence: -1,
    text: '',
    refusal: '',
    ended: false,
    note: null,
    numbers: '',
  };
}

export function recall(): Remembered {
  try {
    const kept = sessionStorage.getItem(KEY);
    // Written by `remember` of this same page.
    if (kept !== null) return JSON.parse(kept) as Remembered;
  } catch {
    // Storage that can't be read is as good as none.
  }
  return { conversation: null, token: '', turns: [] };
}

export function remember(state: Remembered): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    // Full or forbidden: the page works, only a reload starts afresh.
  }
}
