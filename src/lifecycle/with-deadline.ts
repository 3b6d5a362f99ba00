/* Waits with a time limit, on a clock that tests can move. */

import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves after `ms`, or rejects when `signal` aborts. */
export type After = (ms: number, signal: AbortSignal) => Promise<void>;

export const systemAfter: After = async (ms, signal) => {
  await sleep(ms, undefined, { signal });
};

/**
 * Waits for `work` for at most `ms` milliseconds.
 * @returns false if the time ran out or `hurry` aborted first
 * @throws what `work` rejects with
 */
export async function withDeadline(
  work: Promise<void>,
  ms: number,
  after: After,
  hurry?: AbortSignal,
): Promise<boolean> {
  const settled = new AbortController();
  const bound = hurry === undefined ? settled.signal : AbortSignal.any([settled.signal, hurry]);
  try {
    // The timer is cancelled either by `hurry` or by `work`, which has won the race by then.
    return await Promise.race([
      work.then(() => true),
      after(ms, bound)
        .then(() => false)
        .catch(() => false),
    ]);
  } finally {
    settled.abort();
  }
}
