/* How a turn can end: three outcomes, as a value. And why it can be stopped from outside. */

import { type SluiceError } from '../domain/errors.js';
import { type IncompleteReason } from '../domain/response.js';

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
