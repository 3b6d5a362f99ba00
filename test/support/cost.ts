/*
 * What a piece of work costs: CPU of this process and growth of its heap, compared with the speed
 * of this machine.
 */

const SAMPLE = JSON.stringify(Array.from({ length: 5_000 }, (_, i) => ({ id: i, name: `n${i}`, list: [i, i + 1] })));
/**
 * CPU that the calibration takes on two shared cores of the machine that the bounds were set on.
 */
const CALIBRATION_MS = 60;

function calibrate(): number {
  const times = Array.from({ length: 3 }, () =>
    cpuOf(() => {
      for (let i = 0; i < 10; i++) JSON.stringify(JSON.parse(SAMPLE));
    }),
  );
  return Math.min(...times);
}

let factor: number | undefined;

/**
 * `ms` of CPU on the machine that the bounds were set on, in milliseconds of this one; never less
 * than `ms`.
 */
export function cpuBudgetMs(ms: number): number {
  factor ??= Math.max(1, calibrate() / CALIBRATION_MS);
  return ms * factor;
}

export interface Cost {
  readonly cpuMs: number;
  readonly heapMiB: number;
}

/**
 * Runs `work` up to ten times until one run stays within both bounds: a garbage collection or a
 * compilation may fall into any one run. After a run that took too long the machine's speed is
 * measured again: other work may have begun beside it.
 */
export function costOf(work: () => void, withinMs: number, withinMiB: number): Cost {
  let best: Cost = { cpuMs: Infinity, heapMiB: Infinity };
  for (let tries = 0; tries < 10; tries++) {
    const heap = process.memoryUsage().heapUsed;
    const cpuMs = cpuOf(work);
    const heapMiB = (process.memoryUsage().heapUsed - heap) / 1_048_576;
    best = { cpuMs: Math.min(best.cpuMs, cpuMs), heapMiB: Math.min(best.heapMiB, heapMiB) };
    if (best.cpuMs <= withinMs && best.heapMiB <= withinMiB) break;
    if (best.cpuMs > withinMs) factor = Math.max(factor ?? 1, calibrate() / CALIBRATION_MS);
  }
  return best;
}

function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
