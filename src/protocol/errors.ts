/* Errors on the wire: OpenAI's body, and the headers that tell a client whether and when to try again. */

import { type SluiceError } from '../domain/errors.js';
import { FailedTurn } from './failed-turn.js';

/** The inside of every error, in HTTP bodies, SSE and socket events. */
export interface WireError {
  readonly message: string;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
  /** Of a turn that ran and failed: its response. */
  readonly response_id?: string;
}

export function wireError(error: SluiceError): WireError {
  const { message, type, code, param } = error;
  return { message, type, code, param, ...(error instanceof FailedTurn ? { response_id: error.responseId } : {}) };
}

export function errorBody(error: SluiceError): { readonly error: WireError } {
  return { error: wireError(error) };
}

/** What refusals for load and limits say when nobody knows better. */
const DEFAULT_RETRY_AFTER_MS = 1_000;
const LONGEST_WAIT_OF_CLIENTS_MS = 60_000;

/** The headers of an HTTP answer that is an error. */
export function errorHeaders(error: SluiceError): Record<string, string> {
  return { ...retryHeaders(error), ...(error.status === 401 ? { 'www-authenticate': 'Bearer' } : {}) };
}

/** What every answer of the API says: it is this caller's alone, and it is what its content type says. */
export const PRIVATE_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

/**
 * `x-should-retry: false` for what must not be sent again by itself: a mistake, and every turn that ran, which would run and be paid twice (the
 * official clients repeat 409, 429 and 5xx). `true` where nothing ran. `retry-after` (whole seconds, rounded up) and `retry-after-ms` say when.
 * A wait of more than a minute has `false`, because the official client ignores such a wait and sends the request again at once.
 */
export function retryHeaders(error: SluiceError): Record<string, string> {
  if (!error.retryable) return { 'x-should-retry': 'false' };
  const ran = error instanceof FailedTurn;
  const later = !ran && (error.status === 409 || error.status === 429 || error.status === 503);
  const afterMs = error.retryAfterMs ?? (later ? DEFAULT_RETRY_AFTER_MS : null);
  if (afterMs === null) return ran ? { 'x-should-retry': 'false' } : {};
  return {
    'x-should-retry': String(!ran && afterMs <= LONGEST_WAIT_OF_CLIENTS_MS),
    'retry-after': String(Math.max(1, Math.ceil(afterMs / 1_000))),
    'retry-after-ms': String(Math.max(1, Math.ceil(afterMs))),
  };
}
