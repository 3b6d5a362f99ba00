/*
 * A failed turn as the error of the HTTP request that waited for it. Knows only the stored
 * response.
 */

import { ERROR_CODES, type ErrorCode, type ErrorType, SluiceError } from '../domain/errors.js';
import { type ResponseObject } from '../domain/response.js';

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
