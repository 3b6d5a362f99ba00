/* A turn that failed, as the error of the HTTP request that waited for it. Knows the stored response only. */

import { ERROR_CODES, type ErrorCode, type ErrorType, SluiceError } from '../domain/errors.js';
import { type ResponseObject } from '../domain/response.js';

/** The turn ran and was stored and counted: sending its request again would run another one, so clients are told not to. */
export class FailedTurn extends SluiceError {
  override readonly status: number;
  override readonly type: ErrorType;
  /** By this the client retrieves what was written before the failure. */
  readonly responseId: string;

  constructor(failed: Pick<ResponseObject, 'id' | 'error' | 'sluice'>) {
    const { code = 'server_error', message = 'unable to answer; the turn failed' } = failed.error ?? {};
    const { retryable, after_ms } = failed.sluice.retry ?? {};
    // Own property of the table, so it is one of its names.
    const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'server_error';
    super(known, message, {
      ...(retryable === undefined ? {} : { retryable }),
      ...(after_ms === undefined || after_ms === null ? {} : { retryAfterMs: after_ms }),
    });
    const { status, type } = ERROR_CODES[known];
    // 500 says that the gateway itself broke. Here the provider did.
    this.status = status === 500 ? 502 : status;
    this.type = type;
    this.responseId = failed.id;
  }
}
