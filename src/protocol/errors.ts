/*
 * Formats errors for the wire: OpenAI's body, and the headers that inform clients whether and when
 * to retry. For connections without a framework, whole HTTP answers. A failed turn becomes the
 * error of the HTTP request that waited for it.
 */

import { STATUS_CODES } from 'node:http';
import { ERROR_CODES, type ErrorCode, type ErrorType, SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type ResponseObject } from '../domain/response.js';

/** The error object of HTTP bodies, SSE events and socket events. */
export interface WireError {
  readonly message: string;
  readonly type: string;
  readonly code: string;
  readonly param: string | null;
  /** The response of a turn that ran and failed, or whose answer could not be given. */
  readonly response_id?: string;
}

export function wireError(error: SluiceError): WireError {
  const { message, type, code, param } = error;
  const responseId = error instanceof FailedTurn || error instanceof UnansweredTurn ? error.responseId : null;
  return { message, type, code, param, ...(responseId === null ? {} : { response_id: responseId }) };
}

export function errorBody(error: SluiceError): { readonly error: WireError } {
  return { error: wireError(error) };
}

/** The wait of a refusal for load or limits that has no better estimate. */
const DEFAULT_RETRY_AFTER_MS = 1_000;
const LONGEST_WAIT_OF_CLIENTS_MS = 60_000;

/** Returns the headers of an HTTP answer that is an error. */
export function errorHeaders(error: SluiceError): Record<string, string> {
  return { ...retryHeaders(error), ...(error.status === 401 ? { 'www-authenticate': 'Bearer' } : {}) };
}

/**
 * Headers of every answer of the API: no cache may store it, and browsers must trust its content
 * type.
 */
export const PRIVATE_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const;

/**
 * Returns the retry headers of an error. `x-should-retry` is `false` for requests that must not be
 * repeated: mistakes, and every turn that ran, because it would run and be paid twice (the official
 * clients repeat 409, 429 and 5xx). It is `true` if nothing ran. `retry-after` (whole seconds,
 * rounded up) and `retry-after-ms` carry the wait. A wait of more than a minute has `false`,
 * because the official client ignores such a wait and repeats the request at once.
 */
export function retryHeaders(error: SluiceError): Record<string, string> {
  if (!error.retryable) return { 'x-should-retry': 'false' };
  const ran = error instanceof FailedTurn || (error instanceof UnansweredTurn && !error.joins);
  const later = !ran && (error.status === 409 || error.status === 429 || error.status === 503);
  const afterMs = error.retryAfterMs ?? (later ? DEFAULT_RETRY_AFTER_MS : null);
  if (afterMs === null) return ran ? { 'x-should-retry': 'false' } : {};
  return {
    'x-should-retry': String(!ran && afterMs <= LONGEST_WAIT_OF_CLIENTS_MS),
    'retry-after': String(Math.max(1, Math.ceil(afterMs / 1_000))),
    'retry-after-ms': String(Math.max(1, Math.ceil(afterMs))),
  };
}

/**
 * Formats a refusal as raw HTTP, before a request is read or on a refused upgrade.
 * @param more further headers by name
 * @returns the whole answer; close the connection after it
 */
export function rawRefusal(error: SluiceError, more: Readonly<Record<string, string>> = {}): string {
  const body = JSON.stringify(errorBody(error));
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    'x-request-id': newId('req'),
    ...PRIVATE_HEADERS,
    ...errorHeaders(error),
    ...more,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

/**
 * The error of a turn that ran, was stored and was counted. Repeating the request would run a
 * second turn, so its answers have `x-should-retry: false`.
 */
export class FailedTurn extends SluiceError {
  override readonly status: number;
  override readonly type: ErrorType;
  /** The id with which the client retrieves the output before the failure. */
  readonly responseId: string;

  constructor(failed: Pick<ResponseObject, 'id' | 'error' | 'sluice'>) {
    const { code = 'server_error', message = 'unable to answer; the turn failed' } = failed.error ?? {};
    const { retryable, after_ms } = failed.sluice.retry ?? {};
    // An own property of the table, so it is an error code.
    const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'server_error';
    super(known, message, {
      ...(retryable === undefined ? {} : { retryable }),
      ...(after_ms === undefined || after_ms === null ? {} : { retryAfterMs: after_ms }),
    });
    const { status, type } = ERROR_CODES[known];
    // 500 means an error of the gateway; this one is the provider's.
    this.status = status === 500 ? 502 : status;
    this.type = type;
    this.responseId = failed.id;
  }
}

/**
 * The error of a request that has started a turn, if its answer cannot be given. The turn continues
 * or has ended, and its response can be retrieved. Repeating the request would run a second turn,
 * so its answers have `x-should-retry: false`, unless the request had an idempotency key.
 */
export class UnansweredTurn extends SluiceError {
  /** The id with which the client retrieves the response; null if it is not for the client. */
  readonly responseId: string | null;
  /** Whether the same request joins the turn: it had an idempotency key. */
  readonly joins: boolean;

  constructor(
    { code, message, param, retryable, retryAfterMs, cause }: SluiceError,
    { responseId, joins }: Pick<UnansweredTurn, 'responseId' | 'joins'>,
  ) {
    super(code, message, {
      retryable,
      ...(param === null ? {} : { param }),
      ...(retryAfterMs === null ? {} : { retryAfterMs }),
      ...(cause === undefined ? {} : { cause }),
    });
    this.responseId = responseId;
    this.joins = joins;
  }
}
