/* The outcomes of a turn, and the reasons for which a turn is stopped from outside. */

import { asSluiceError, ERROR_CODES, type ErrorCode, SluiceError } from '../domain/errors.js';
import { type IncompleteReason, type ResponseObject } from '../domain/response.js';
import { type FinishReason } from '../provider/provider.js';
import { OwnRateLimit } from '../provider/resilience/rate-limit.js';

export type TurnOutcome =
  | { readonly end: 'completed' }
  | { readonly end: 'incomplete'; readonly reason: IncompleteReason }
  | { readonly end: 'failed'; readonly error: SluiceError };

/**
 * Reason of a turn's abort signal. `lost`: another replica owns the turn, or its log cannot be
 * written. The turn must write nothing more.
 */
export class TurnStopped extends Error {
  readonly outcome: TurnOutcome | 'lost';

  constructor(outcome: TurnOutcome | 'lost') {
    super('the turn was stopped');
    this.name = 'TurnStopped';
    this.outcome = outcome;
  }
}

export const CANCELLED = new TurnStopped({ end: 'incomplete', reason: 'cancelled' });
export const LOST = new TurnStopped('lost');

/** Returns the outcome of a turn for the finish reason of its provider. */
export function finished(reason: FinishReason): TurnOutcome {
  switch (reason) {
    case 'stop':
    case 'tool_calls':
      return { end: 'completed' };
    case 'length':
      return { end: 'incomplete', reason: 'max_output_tokens' };
    case 'content_filter':
      return { end: 'incomplete', reason: 'content_filter' };
  }
}

/** Returns the outcome of an ended response. */
export function outcomeOfResponse({ status, error, incomplete_details: details }: ResponseObject): TurnOutcome {
  if (status === 'completed') return { end: 'completed' };
  if (status !== 'failed') return { end: 'incomplete', reason: details?.reason ?? 'cancelled' };
  const { code = 'server_error', message = 'unable to finish this response' } = error ?? {};
  return { end: 'failed', error: new SluiceError(isErrorCode(code) ? code : 'server_error', message) };
}

/**
 * Whether the caller or the gateway's own limit caused the error. Errors of the provider have codes
 * with a status of 500 or more, except for its rate limit.
 */
export function isRefusal(error: SluiceError): boolean {
  return error instanceof OwnRateLimit || (error.status < 500 && error.code !== 'rate_limit_exceeded');
}

/** Whether this version knows the code. A newer replica may have stored others. */
function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** Returns the outcome of a turn that threw: the one in its abort signal, else failed. */
export function outcomeOf(thrown: unknown, signal: AbortSignal): TurnOutcome | 'lost' {
  if (signal.aborted && signal.reason instanceof TurnStopped) return signal.reason.outcome;
  return { end: 'failed', error: asSluiceError(thrown) };
}
