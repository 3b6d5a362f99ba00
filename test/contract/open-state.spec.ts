/*
 * The log lines and metrics of the state store: in memory, and while a real Redis stops and starts
 * again.
 */

import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { openState } from '../../src/compose/open-state.js';
import { Metrics } from '../../src/observability/metrics.js';
import { LinesLog } from '../support/lines-log.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
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

it('does not count a refused append as a fenced write, because one turn may be refused more than once', async () => {
  const metrics = new Metrics({ prefix: 'test_', version: '0' });
  const { config } = at.load(JSON.stringify({ state: { type: 'redis', url: server.url } }));
  const { state } = await openState(config, new LinesLog(), metrics);
  const head = headOf();
  const fence = await state.events.create(head);
  expect(await state.events.append(head.responseId, fence + 1, deltas(0, 0))).toEqual({ outcome: 'fenced' });
  expect(await state.lease.renew(head.responseId, fence + 1)).toMatchObject({ held: false });
  expect(await metrics.render()).toContain('\ntest_fenced_writes_total 0\n');
  await state.close();
});

it('logs nothing if Redis answers at the start, then one line for each outage and one for each end of it', async () => {
  const logger = new LinesLog();
  const metrics = new Metrics({ prefix: 'test_', version: '0' });
  const { config } = at.load(JSON.stringify({ state: { type: 'redis', url: server.url } }));
  const { state } = await openState(config, logger, metrics);
  const logged = () => logger.lines.map(({ level, message }) => `${level}: ${message}`);
  const rendered = async (name: string) =>
    (await metrics.render()).split('\n').filter((line) => line.startsWith(`test_${name}`));
  await state.ping();
  expect(logged()).toEqual([]);
  expect(await rendered('state_up')).toEqual(['test_state_up 1']);
  expect((await rendered('state_errors_total')).filter((line) => !line.endsWith(' 0'))).toEqual([]);
  for (let times = 1; times <= 2; times++) {
    await server.kill();
    await eventually(async () => (await rendered('state_up')).includes('test_state_up 0'));
    await server.start();
    await eventually(async () => (await rendered('state_up')).includes('test_state_up 1'));
  }
  const [away, back] = ['error: state store is away', 'info: state store is back'];
  expect(logged()).toEqual([away, back, away, back]);
  await state.close();
  expect(logged()).toHaveLength(4);
});

it('counts evicted entries and sets the gauge of stored bytes while state is in memory', async () => {
  const metrics = new Metrics({ prefix: 'test_', version: '0' });
  const { config } = at.load(JSON.stringify({ state: { type: 'memory', memory_max_bytes: '1MiB' } }));
  const { state } = await openState(config, new LinesLog(), metrics);
  const value = async (name: string) =>
    Number(new RegExp(`^test_${name} (\\d+)$`, 'm').exec(await metrics.render())?.[1] ?? NaN);
  const evicted = () => value('state_evictions_total\\{kind="conversation"\\}');
  expect(await evicted()).toBe(0);
  for (let i = 0; i < 10; i++) {
    const metadata = { text: 'x'.repeat(100_000) };
    await state.conversations.create({ id: `conv_${i}`, owner: 'ann', createdAt: 1, updatedAt: 1, metadata }, []);
  }
  // Half of 1 MiB holds five of them.
  expect(await evicted()).toBe(5);
  await eventually(async () => (await value('state_memory_bytes')) > 500_000);
  expect(await value('state_memory_bytes')).toBeLessThan(1024 * 1024);
  await state.close();
});
