/* Patience with a state store that is away for a while: what may be repeated is asked again, until it answers or patience ends. */

import { SluiceError } from '../domain/errors.js';
import { sleep, systemTime, type Time } from '../domain/time.js';

export interface Patience {
  /** How long it is tried, in milliseconds. */
  readonly giveUpMs?: number;
  /** False: nobody needs the answer any more, the next failure is the last. */
  readonly wanted?: () => boolean;
  readonly time?: Time;
}

const GIVE_UP_MS = 30_000;
const RETRY_FIRST_MS = 25;
const RETRY_MOST_MS = 1_000;

/** Does `work`, and again while it fails with `state_unavailable`: it must be safe to repeat after a lost reply. @throws what failed last */
export async function patiently<T>(work: () => Promise<T>, patience: Patience = {}): Promise<T> {
  const { giveUpMs = GIVE_UP_MS, wanted = () => true, time = systemTime } = patience;
  const startedAt = time.now();
  for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
    try {
      return await work();
    } catch (error) {
      const passing = error instanceof SluiceError && error.code === 'state_unavailable';
      if (!passing || !wanted() || time.now() - startedAt > giveUpMs) throw error;
    }
    await sleep(time, delayMs);
  }
}
