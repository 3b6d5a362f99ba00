/* A schedule is its seed: it runs the same way every time, whatever ran before it. */

import { describe, expect, it } from '@jest/globals';
import { runSchedule } from './schedule.js';

async function linesOf(seed: number): Promise<string> {
  const lines: string[] = [];
  await runSchedule(seed, { onEvent: (line) => lines.push(line) });
  return lines.join('\n');
}

describe('a schedule', () => {
  it('runs the same way again from the same seed', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const first = await linesOf(seed);
      await runSchedule(seed + 1_000);
      expect(await linesOf(seed)).toBe(first);
    }
  });

  it('differs from seed to seed', async () => {
    const all = new Set<string>();
    for (let seed = 1; seed <= 5; seed++) all.add(await linesOf(seed));
    expect(all.size).toBe(5);
  });
});
