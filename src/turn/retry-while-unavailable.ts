/*
 * Repeats a state store operation while the store is unavailable, with growing delays, until it
 * succeeds or the time is up.
 */

import { SluiceError } from '../domain/errors.js';
import { sleep, systemTime, type Time } from '../domain/time.js';

export interface RetryOptions<T = unknown> {
  /** The first attempt, if the caller has just begun it. */
  readonly begun?: Promise<T>;
  /** Milliseconds after the first attempt from which on a failure is final. Default: 30 000. */
  readonly giveUpMs?: number;
  /** Whether the result is still needed. If it is not, the next failure is final. */
  readonly wanted?: () => boolean;
  readonly time?: Time;
}

const GIVE_UP_MS = 30_000;
const RETRY_FIRST_MS = 25;
const RETRY_MOST_MS = 1_000;

/**
 * Runs `work`, and runs it again while it fails with `state_unavailable`.
 * @param work must be safe to repeat after a lost reply
 * @throws the last failure
 */
export async function retryWhileUnavailable<T>(work: () => T | Promise<T>, options: RetryOptions<T> = {}): Promise<T> {
  const { giveUpMs = GIVE_UP_MS, wanted = () => true, time = systemTime } = options;
  const startedAt = time.now();
  let attempt = options.begun;
  for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
    try {
      return await (attempt ?? work());
    } catch (error) {
      const passing = error instanceof SluiceError && error.code === 'state_unavailable';
      if (!passing || !wanted() || time.now() - startedAt > giveUpMs) throw error;
    }
    attempt = undefined;
    await sleep(time, delayMs);
  }
}
