/* The refusal that every store gives when a conversation's queue is full. */

import { SluiceError } from '../domain/errors.js';

export function conversationBusy(maxWaiting: number): SluiceError {
  const why = maxWaiting === 0 ? 'another turn is running in it' : `${maxWaiting} turns already wait for it`;
  return new SluiceError(
    'conversation_busy',
    `unable to start a turn in this conversation; ${why}; try again when it has ended`,
    { retryAfterMs: 1_000, param: 'conversation' },
  );
}
