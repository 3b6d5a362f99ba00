/* The one error of the client. Knows no socket. */

import { type SluiceErrorShape } from './api.js';

/** A failure, with a message for people and a code for programs. */
export class SluiceError extends Error implements SluiceErrorShape {
  override readonly name = 'SluiceError';
  readonly kind: SluiceErrorShape['kind'];
  readonly code: string;
  readonly status: number | null;
  readonly param: string | null;
  readonly retryAfterMs: number | null;

  constructor(
    kind: SluiceErrorShape['kind'],
    code: string,
    message: string,
    more: { status?: number | null; param?: string | null; retryAfterMs?: number | null; cause?: unknown } = {},
  ) {
    super(message, more);
    this.kind = kind;
    this.code = code;
    this.status = more.status ?? null;
    this.param = more.param ?? null;
    this.retryAfterMs = more.retryAfterMs ?? null;
  }
}

/** Returns the error of what the client's own `close()` ends. */
export function closedHere(): SluiceError {
  return new SluiceError('closed', 'closed', 'The client was closed.');
}
