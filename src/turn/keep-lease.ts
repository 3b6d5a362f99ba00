/* Keeps a turn's lease while the turn is silent, and hears of cancels that are asked anywhere. Knows nothing of what the turn does. */

import { every, type Time } from '../domain/time.js';
import { LOG_TIMES, type TurnLease } from '../state/event-log.js';
import { type Turn } from './turn.js';

/** Renews until the function that it returns is called. */
export function keepLease(
  lease: TurnLease,
  { responseId, fence, journal }: Pick<Turn, 'responseId' | 'fence' | 'journal'>,
  time: Time,
): () => void {
  // Nobody waits for the watch: until it stands, appends and renewals tell of a cancel.
  const watching = lease.watchCancel(responseId, () => journal.cancelRequested()).catch(() => () => undefined);
  let renewing = false;
  const renew = async (): Promise<void> => {
    if (renewing || time.now() - journal.appendedAt < LOG_TIMES.renewEveryMs) return;
    renewing = true;
    try {
      const { held, cancelRequested } = await lease.renew(responseId, fence);
      if (!held) journal.leaseLost();
      else if (cancelRequested) journal.cancelRequested();
    } finally {
      renewing = false;
    }
  };
  const stop = every(time, LOG_TIMES.renewEveryMs, () => void renew().catch(() => undefined));
  return () => {
    stop();
    void watching.then((unwatch) => unwatch());
  };
}
