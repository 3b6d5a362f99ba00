/* What an operator is told of the state store, in log and metrics, while a real Redis comes, goes and comes back. */

import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { openState } from '../../src/compose/open-state.js';
import { Metrics } from '../../src/observability/metrics.js';
import { LinesLog } from '../support/lines-log.js';
import { RedisServer } from '../support/redis.js';
import { Workspace } from '../unit/config/workspace.js';
import { eventually } from './suites/contract-store.js';
import { deltas, headOf } from './suites/log-fixtures.js';

let server: RedisServer;
let at: Workspace;
beforeEach(async () => {
  at = new Workspace();
  server = await RedisServer.start();
});
afterEach(async () => {
  at.remove();
  await server.close();
});

it('leaves it to turns to count that they were shut out: a turn is refused more than once', async () => {
  const metrics = new Metrics({ prefix: 'test_', version: '0' });
  const { config } = at.load(JSON.stringify({ state: { type: 'redis', url: server.url } }));
  const { state } = await openState(config, new LinesLog(), metrics);
  const head = headOf();
  const fence = await state.log.create(head);
  expect(await state.log.append(head.responseId, fence + 1, deltas(0, 0))).toEqual({ outcome: 'fenced' });
  expect(await state.lease.renew(head.responseId, fence + 1)).toMatchObject({ held: false });
  expect(await metrics.render()).toContain('\ntest_fenced_writes_total 0\n');
  await state.close();
});

it('says nothing at a start that finds it, then once each time that it is away and that it is back', async () => {
  const log = new LinesLog();
  const metrics = new Metrics({ prefix: 'test_', version: '0' });
  const { config } = at.load(JSON.stringify({ state: { type: 'redis', url: server.url } }));
  const { state } = await openState(config, log, metrics);
  const told = () => log.lines.map(({ level, message }) => `${level}: ${message}`);
  const rendered = async (name: string) =>
    (await metrics.render()).split('\n').filter((line) => line.startsWith(`test_${name}`));
  await state.ping();
  expect(told()).toEqual([]);
  expect(await rendered('state_up')).toEqual(['test_state_up 1']);
  expect((await rendered('state_errors_total')).filter((line) => !line.endsWith(' 0'))).toEqual([]);
  for (let times = 1; times <= 2; times++) {
    await server.kill();
    await eventually(async () => (await rendered('state_up')).includes('test_state_up 0'));
    await server.start();
    await eventually(async () => (await rendered('state_up')).includes('test_state_up 1'));
  }
  const [away, back] = ['error: state store is away', 'info: state store is back'];
  expect(told()).toEqual([away, back, away, back]);
  await state.close();
  expect(told()).toHaveLength(4);
});
