/* Why a response cannot be read, in the words that clients get. */

import { SluiceError } from '../domain/errors.js';

export function responseNotFound(): SluiceError {
  return new SluiceError(
    'response_not_found',
    'unable to find this response; it does not exist, was not stored, or has expired',
    {
      param: 'response_id',
    },
  );
}

export function responseExpired(): SluiceError {
  return new SluiceError(
    'response_expired',
    'unable to replay this response; its events are no longer kept; retrieve the response instead',
    { param: 'response_id' },
  );
}

export function invalidCursor(after: number, last: number): SluiceError {
  return new SluiceError(
    'invalid_cursor',
    `unable to go on after event ${after}; the response's last event is ${last}; ask from there`,
    {
      param: 'starting_after',
    },
  );
}

export function stillRunning(): SluiceError {
  return new SluiceError(
    'response_still_running',
    'unable to delete a response that is still running; cancel it first',
  );
}
