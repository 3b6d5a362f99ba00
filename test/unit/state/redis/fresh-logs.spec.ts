/* The first reading of a log that this replica has just created. */

import { expect, it } from '@jest/globals';
import { FreshLogs } from '../../../../src/state/redis/log/fresh-logs.js';
import { WrittenTails } from '../../../../src/state/redis/log/written-tails.js';
import { HandTime } from '../../../support/hand-time.js';
import { deltas, headOf } from '../../../contract/suites/log-fixtures.js';

function freshLogs(maxEvents = 128) {
  const time = new HandTime();
  const tails = new WrittenTails({ time, maxEvents });
  return { time, tails, fresh: new FreshLogs({ time, tails }) };
}

it('answers the first reading of a new log with all that this replica wrote, and no later reading', () => {
  const { tails, fresh } = freshLogs();
  const head = headOf();
  tails.add(head.responseId, deltas(0, 1));
  fresh.add(head);
  tails.add(head.responseId, deltas(2, 3));
  expect(fresh.take(head.responseId, 3)).toEqual({ head, events: deltas(0, 2), last: 3, ended: false });
  expect(fresh.take(head.responseId, 3)).toBeUndefined();
});

it('answers no reading after a second, of an ended or fenced log, or of one whose beginning was dropped', () => {
  const { time, tails, fresh } = freshLogs(2);
  const [late, ended, long] = [headOf(), headOf(), headOf()];
  for (const head of [late, ended, long]) {
    tails.add(head.responseId, deltas(0, 1));
    fresh.add(head);
  }
  tails.end(ended.responseId);
  tails.add(long.responseId, deltas(2, 9));
  expect(fresh.take(ended.responseId, 10)).toBeUndefined();
  expect(fresh.take(long.responseId, 10)).toBeUndefined();
  time.pass(1_000);
  expect(fresh.take(late.responseId, 10)).toBeUndefined();
});
