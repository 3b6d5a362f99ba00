/* What the React hook tells: every type of it that a page's own code can name. */

import { type ResponseStatus, type SluiceErrorShape, type SluiceResponse } from './client.js';

export interface ChatMessage {
  /** Stays the same while the message grows. */
  readonly key: string;
  readonly role: string;
  readonly text: string;
  /** What a guardrail or the model says in place of (more of) an answer. */
  readonly refusal: string;
  readonly status: ResponseStatus;
  /** Why there is no answer, or no more of it. */
  readonly error: SluiceErrorShape | null;
  /** The response that writes this message; null for what was said before and for questions. */
  readonly response: SluiceResponse | null;
}

export interface ChatState {
  readonly messages: readonly ChatMessage[];
  /** An answer is being written or waited for. */
  readonly busy: boolean;
  /** What the conversation held is there. */
  readonly caughtUp: boolean;
  /** Null until the first question made one. */
  readonly conversation: string | null;
  /** Why the conversation can't be followed; null where it can. */
  readonly error: SluiceErrorShape | null;
}
