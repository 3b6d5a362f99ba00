/* Waiting with a bound, over a clock that tests can move. */

import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves after `ms`, or rejects when `signal` aborts. */
export type After = (ms: number, signal: AbortSignal) => Promise<void>;

export const systemAfter: After = async (ms, signal) => {
  await sleep(ms, undefined, { signal });
};

/** True when `work` resolved within `ms`; false when time ran out or `hurry` aborted first. What `work` rejects with is thrown. */
export async function within(work: Promise<void>, ms: number, after: After, hurry?: AbortSignal): Promise<boolean> {
  const settled = new AbortController();
  const bound = hurry === undefined ? settled.signal : AbortSignal.any([settled.signal, hurry]);
  try {
    // A bound that is called off was called off by `hurry`, or by `work`, which has won by then.
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
