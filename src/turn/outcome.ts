/* How a turn can end: three outcomes, as a value. And why it can be stopped from outside. */

import { asSluiceError, type SluiceError } from '../domain/errors.js';
import { type IncompleteReason } from '../domain/response.js';
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

/** How a turn ends that threw: as whoever stopped it said, else as failed. */
export function outcomeOf(thrown: unknown, signal: AbortSignal): TurnOutcome | 'lost' {
  if (signal.aborted && signal.reason instanceof TurnStopped) return signal.reason.outcome;
  return { end: 'failed', error: asSluiceError(thrown) };
}
