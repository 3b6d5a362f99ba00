/*
 * Time and randomness as every part sees them. A simulation provides its own, so that a whole
 * schedule repeats from one seed; the running gateway uses `systemTime`. No other file of a
 * simulated part reads a clock, starts a timer or draws a random number.
 */

export interface Time {
  /**
   * Returns monotonic milliseconds since an arbitrary start. Use for durations, ages, deadlines and
   * expiry inside this process: a wall clock that is set back or forward does not change it.
   */
  now(): number;
  /**
   * Returns Unix time in milliseconds. Use only for dates that clients, operators or other
   * processes read: it may jump.
   */
  date(): number;
  /**
   * Calls `work` once, `ms` milliseconds from now. Does not keep the process alive. Returns a
   * function that cancels the call.
   */
  after(ms: number, work: () => void): () => void;
  /** Calls `work` in a later round of the event loop, after pending I/O. */
  soon(work: () => void): void;
  /** Returns a number from 0 (inclusive) to 1 (exclusive). Not for secrets or ids. */
  random(): number;
  /**
   * Returns 32 lower-case hex digits that never come twice and cannot be guessed: the random part
   * of an id (`newId`).
   */
  unique(): string;
}

/** Bytes of one id, and those drawn at once: a draw costs as much as ten ids. */
const ID_BYTES = 16;
const UNIQUE_BYTES = 256 * ID_BYTES;
const random = Buffer.alloc(UNIQUE_BYTES);
/** Bytes of `random` that ids have taken. */
let taken = UNIQUE_BYTES;

/** The clocks, timers and random numbers of this process. */
export const systemTime: Time = {
  now: () => performance.now(),
  date: () => Date.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms).unref();
    return () => clearTimeout(timer);
  },
  soon: (work) => void setImmediate(work),
  random: () => Math.random(),
  unique: () => {
    if (taken === UNIQUE_BYTES) {
      globalThis.crypto.getRandomValues(random);
      taken = 0;
    }
    taken += ID_BYTES;
    return random.toString('hex', taken - ID_BYTES, taken);
  },
};

/** Calls `work` every `ms` milliseconds until the returned function is called. */
export function every(time: Time, ms: number, work: () => void): () => void {
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = time.after(ms, () => {
      arm();
      work();
    });
  };
  arm();
  return () => cancel();
}

/**
 * Resolves after `ms` milliseconds. Rejects with the signal's reason when `signal` aborts first.
 */
export function sleep(time: Time, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = time.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
