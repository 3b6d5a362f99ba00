/*
 * The simulation finds what it was built to find: with a mistake put back, some seed breaks the
 * promise that the mistake breaks.
 */

import { describe, expect, it, jest } from '@jest/globals';
import { InOrder } from '../../src/gateway/in-order.js';
import {
  AllOrNothingContexts,
  forgetsDeletions,
  joinsOnce,
  lastEndWins,
  losesEndsWithConversation,
} from './mutations.js';
import { runSchedule, type ScheduleOptions } from './schedule.js';

const MINUTE_MS = 60_000;

/**
 * The first violation that matches, within `seeds` schedules.
 * @param first shortly before a seed that is known to find it. After a change of the simulation
 *   that seed may find nothing; the later ones still do, only more slowly.
 */
async function found(
  options: ScheduleOptions,
  pattern: RegExp,
  { first, seeds }: { readonly first: number; readonly seeds: number },
): Promise<string | undefined> {
  for (let seed = first; seed < first + seeds; seed++) {
    const { violations } = await runSchedule(seed, options);
    const violation = violations.find((line) => pattern.test(line));
    if (violation !== undefined) return violation;
  }
  return undefined;
}

describe('the simulation', () => {
  it(
    'finds a store in which the last end of a response wins',
    async () => {
      expect(
        await found({ mutate: lastEndWins }, /is stored as .* and was reported as/, { first: 5, seeds: 3_000 }),
      ).toBeDefined();
    },
    5 * MINUTE_MS,
  );

  it(
    'finds two turns that write to one conversation where each joins its queue once',
    async () => {
      expect(
        await found({ mutate: joinsOnce }, /in the same conversation|was not asked with/, { first: 10, seeds: 5_000 }),
      ).toBeDefined();
    },
    5 * MINUTE_MS,
  );

  it(
    'finds subscribes and unsubscribes of a socket that take effect out of order',
    async () => {
      const run = jest.spyOn(InOrder.prototype, 'run').mockImplementation((_, work) => work());
      try {
        expect(await found({}, /out of order|a socket that/, { first: 1, seeds: 1_000 })).toBeDefined();
      } finally {
        run.mockRestore();
      }
    },
    5 * MINUTE_MS,
  );

  it(
    'finds a turn that says it kept nothing where its conversation holds its items',
    async () => {
      const contexts: ScheduleOptions['contexts'] = (...parts) => new AllOrNothingContexts(...parts);
      expect(await found({ contexts }, /says that it kept nothing/, { first: 80, seeds: 5_000 })).toBeDefined();
    },
    5 * MINUTE_MS,
  );

  it(
    'finds a response that is not stored because its conversation was deleted',
    async () => {
      expect(
        await found({ mutate: losesEndsWithConversation }, /is not stored/, { first: 215, seeds: 5_000 }),
      ).toBeDefined();
    },
    5 * MINUTE_MS,
  );

  it(
    'finds a turn that two replicas count because its response was deleted',
    async () => {
      const violation = await found({ mutate: forgetsDeletions }, /turns ended and \d+ were counted/, {
        first: 2_150,
        seeds: 20_000,
      });
      expect(violation).toBeDefined();
    },
    5 * MINUTE_MS,
  );
});
