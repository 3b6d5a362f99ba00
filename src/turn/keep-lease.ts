/*
 * Renews the lease of a turn while the turn writes nothing, and watches for cancel requests from
 * any replica. Knows nothing of what the turn does.
 */

import { every, type Time } from '../domain/time.js';
import { LOG_TIMES, type TurnLease } from '../state/event-log.js';
import { type Turn } from './turn.js';

/**
 * Renews the lease regularly.
 * @returns a function that stops renewing
 */
export function keepLease(
  lease: TurnLease,
  { responseId, fence, journal }: Pick<Turn, 'responseId' | 'fence' | 'journal'>,
  time: Time,
): () => void {
  // Do not wait for the watch. Until it is set up, and if it fails, appends and renewals report a
  // cancel.
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
