/*
 * A share of the schedules, as tests. SIMULATION_SEED runs one seed and prints its schedule;
 * SIMULATION_SCHEDULES says how many are run in all (5,000 by default), from seed SIMULATION_FIRST
 * on.
 */

import { describe, expect, it } from '@jest/globals';
import { type Outcome, runSchedule } from './schedule.js';

const SHARDS = 2;
/** Seeds that fail are collected up to this number. */
const MOST_FAILURES = 5;
/**
 * The last lines of a failing schedule: what came before rarely matters, and can be printed by its
 * seed.
 */
const LINES_SHOWN = 150;
/** Schedules a test; between two tests the runner can report and end. */
const A_TEST = 500;

const only = process.env['SIMULATION_SEED'];
const schedules = Number(process.env['SIMULATION_SCHEDULES'] ?? 5_000);
const first = Number(process.env['SIMULATION_FIRST'] ?? 1);

export function describeShard(shard: number): void {
  describe(`simulation, share ${shard + 1} of ${SHARDS}`, () => {
    if (only !== undefined) {
      it(`keeps every promise with seed ${only}`, async () => {
        const { violations, lines } = await replay(Number(only));
        if (shard === 0) process.stdout.write(`${lines.join('\n')}\n`);
        expect(violations).toEqual([]);
      });
      return;
    }
    for (let from = 0; from < schedules; from += A_TEST * SHARDS) {
      const count = Math.min(A_TEST, Math.ceil((schedules - from) / SHARDS));
      const start = first + from + shard;
      it(
        `keeps every promise with ${count} seeds from ${start} on`,
        async () => {
          const failures: string[] = [];
          let turns = 0;
          for (let i = 0; i < count && failures.length < MOST_FAILURES; i++) {
            const outcome = await quickly(start + i * SHARDS);
            turns += outcome.turns;
            if (outcome.violations.length > 0) failures.push(await report(outcome));
          }
          expect(failures.join('\n\n')).toBe('');
          // Schedules in which nothing happens keep every promise, too.
          expect(turns).toBeGreaterThan(count);
        },
        10 * 60_000,
      );
    }
  });
}

/** Errors are part of every schedule; their stacks are not needed. */
async function quickly(seed: number): Promise<Outcome> {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return await runSchedule(seed);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

async function replay(seed: number): Promise<{ readonly violations: readonly string[]; readonly lines: string[] }> {
  const lines: string[] = [];
  const { violations } = await runSchedule(seed, { onEvent: (line) => lines.push(line) });
  return { violations, lines };
}

async function report({ seed, violations }: Outcome): Promise<string> {
  const again = await replay(seed);
  const same = again.violations.length === violations.length;
  return [
    `seed ${seed}: npm test -- simulation --seed ${seed}${same ? '' : ' (did not repeat: something is not simulated)'}`,
    ...violations.map((violation) => `  ${violation}`),
    ...again.lines.slice(-LINES_SHOWN),
  ].join('\n');
}
