/*
 * One clock for all processes of the bench, and how a moment travels inside a delta. The machine's
 * monotonic clock is the same for every process on it, so a difference between two of them is a
 * latency.
 */

const OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of the machine's monotonic clock. */
export function machineMs(): number {
  return performance.now() + OFFSET_MS;
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz';
const LENGTH = 6;
/** Microseconds after which a tag repeats: 36 minutes. */
const PERIOD = 36 ** LENGTH;
export const TAG_START = '~';
export const TAG_LENGTH = TAG_START.length + LENGTH;

/**
 * The moment as seven characters, the fast-changing digit first, so that they begin like no word in
 * particular.
 */
export function tagOf(ms: number): string {
  let rest = Math.floor(ms * 1_000) % PERIOD;
  let tag = TAG_START;
  for (let i = 0; i < LENGTH; i++) {
    tag += DIGITS[rest % 36];
    rest = Math.floor(rest / 36);
  }
  return tag;
}

/** Milliseconds from the moment whose tag begins at `at` in `text` until `nowMs`. */
export function sinceTag(text: string, at: number, nowMs: number): number {
  let then = 0;
  for (let i = TAG_LENGTH - 1; i >= TAG_START.length; i--) then = then * 36 + Number.parseInt(text.charAt(at + i), 36);
  return ((((Math.floor(nowMs * 1_000) - then) % PERIOD) + PERIOD) % PERIOD) / 1_000;
}
