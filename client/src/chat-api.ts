/* The public types of the React hook. */

import { type ResponseStatus, type SluiceErrorShape, type SluiceResponse } from './client.js';

export interface ChatMessage {
  /** Constant while the message grows. */
  readonly key: string;
  readonly role: string;
  readonly text: string;
  /** Refusal by a guardrail or by the model, instead of an answer or of its rest. */
  readonly refusal: string;
  readonly status: ResponseStatus;
  /** Why the answer is missing or incomplete. */
  readonly error: SluiceErrorShape | null;
  /** The response that writes this message, or null for stored messages and questions. */
  readonly response: SluiceResponse | null;
}

export interface ChatState {
  readonly messages: readonly ChatMessage[];
  /** Whether an answer is being written or awaited. */
  readonly busy: boolean;
  /** Whether the stored items have been loaded. */
  readonly caughtUp: boolean;
  /** Null until the first question has created one. */
  readonly conversation: string | null;
  /** Why the conversation cannot be followed, or null. */
  readonly error: SluiceErrorShape | null;
}
