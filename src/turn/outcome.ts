/* How a turn can end: three outcomes, as a value. And why it can be stopped from outside. */

import { asSluiceError, ERROR_CODES, type ErrorCode, SluiceError } from '../domain/errors.js';
import { type IncompleteReason, type ResponseObject } from '../domain/response.js';
import { type FinishReason } from '../provider/provider.js';

export type TurnOutcome =
  | { readonly end: 'completed' }
  | { readonly end: 'incomplete'; readonly reason: IncompleteReason }
  | { readonly end: 'failed'; readonly error: SluiceError };

/** The reason of a turn's abort signal. `lost`: another replica owns it now, or its log cannot be written; nothing may be said any more. */
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

/** How a turn ends whose provider finished so. */
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

/** The outcome that an ended response reports. */
export function outcomeOfResponse({ status, error, incomplete_details: details }: ResponseObject): TurnOutcome {
  if (status === 'completed') return { end: 'completed' };
  if (status !== 'failed') return { end: 'incomplete', reason: details?.reason ?? 'cancelled' };
  const { code = 'server_error', message = 'unable to finish this response' } = error ?? {};
  return { end: 'failed', error: new SluiceError(isErrorCode(code) ? code : 'server_error', message) };
}

/** A newer replica may store a code that this one does not know. */
function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** How a turn ends that threw: as whoever stopped it said, else as failed. */
export function outcomeOf(thrown: unknown, signal: AbortSignal): TurnOutcome | 'lost' {
  if (signal.aborted && signal.reason instanceof TurnStopped) return signal.reason.outcome;
  return { end: 'failed', error: asSluiceError(thrown) };
}
