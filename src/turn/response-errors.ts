/* The errors of creating, reading and deleting responses and conversations. */

import { SluiceError } from '../domain/errors.js';

export function responseNotFound(): SluiceError {
  return new SluiceError(
    'response_not_found',
    'unable to find this response; it does not exist, was not stored, or has expired; create a response',
    {
      param: 'response_id',
    },
  );
}

export function responseExpired(): SluiceError {
  return new SluiceError(
    'response_expired',
    'unable to replay this response; its events have expired; retrieve the response instead',
    { param: 'response_id' },
  );
}

export function invalidCursor(after: number, last: number): SluiceError {
  return new SluiceError(
    'invalid_cursor',
    `unable to resume after event ${after}; the last event is ${last}; resume from there`,
    {
      param: 'starting_after',
    },
  );
}

export function stillRunning(): SluiceError {
  return new SluiceError(
    'response_still_running',
    'unable to delete this response; it is still running; cancel it first',
  );
}

/**
 * Returns the error for a conversation that does not exist and for one of another owner: a caller
 * cannot distinguish them.
 */
export function conversationNotFound(): SluiceError {
  return new SluiceError(
    'conversation_not_found',
    'unable to find this conversation; it does not exist or has expired; create a conversation',
    {
      param: 'conversation',
    },
  );
}

/** Returns the refusal of a turn while the replica shuts down. */
export function draining(): SluiceError {
  return new SluiceError(
    'draining',
    'unable to start a turn; this replica is shutting down; reconnect and send it again',
    {
      retryAfterMs: 1_000,
    },
  );
}

/** Returns the refusal of a repeated request whose response is gone. */
export function repeatedResponseGone(): SluiceError {
  return new SluiceError(
    'response_expired',
    'unable to repeat this response; it was deleted, not stored, or has expired; send the request with a new key',
  );
}

/** Returns why a turn stops that another replica has taken over. */
export function takenOver(): SluiceError {
  return new SluiceError('replica_lost', 'unable to continue this turn; another replica has taken it over');
}

/** Returns why a turn stops that may have lost its lease. */
export function leaseDoubtful(): SluiceError {
  return new SluiceError(
    'replica_lost',
    'unable to continue this turn; another replica may hold its lease; resume the response',
  );
}

/** Returns why a turn stops whose events cannot be written. */
export function logNotWritable(cause: unknown): SluiceError {
  const why = 'unable to continue this turn; its log cannot be written; try again';
  return new SluiceError('state_unavailable', why, { cause });
}
