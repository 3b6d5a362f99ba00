/*
 * The machine's own speed, so that a test that must measure a duration measures it against what the
 * machine can do at that moment.
 */

const WORK_MS = 30;

/**
 * How long something may take now that takes `ms` milliseconds at most on a machine with nothing
 * else to do. Works for a moment, and looks how much longer that took than the processor time that
 * it used.
 *
 * @returns `ms` on a quiet machine; on a busy one more, and more than in proportion: several
 * processes wait for each other.
 */
export function allowed(ms: number): number {
  const from = process.cpuUsage();
  const startedAt = performance.now();
  let usedMs = 0;
  while (usedMs < WORK_MS) {
    const { user, system } = process.cpuUsage(from);
    usedMs = (user + system) / 1_000;
  }
  const slowdown = Math.max(1, (performance.now() - startedAt) / usedMs);
  return ms * (1 + 4 * (slowdown - 1));
}

/** A slower machine than this shows nothing more by waiting longer. */
export const SLOWEST = 5;

/**
 * How much longer a time limit of a program under test must be on this machine now than on a quiet
 * one: 1 to 5. Shorter limits make all of its clients connect again and again, which takes the rest
 * of the processor.
 */
export function slowness(): number {
  return Math.min(allowed(1), SLOWEST);
}
