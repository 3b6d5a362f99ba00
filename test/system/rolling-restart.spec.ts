/*
 * Leaving with the state in Redis: sockets move on, turns end by themselves, and readers continue
 * elsewhere. Real processes, real signals.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Crowd } from '../chaos/crowd.js';
import { pause } from '../chaos/faults.js';
import { inputOf } from '../chaos/own-viewer.js';
import { SseViewer } from '../chaos/sse-viewer.js';
import { Truth } from '../chaos/truth.js';
import { spoken } from '../official/official.js';
import { LocalCluster } from '../../scripts/development/cluster/local-cluster.js';
import { type Replica } from '../../scripts/development/cluster/replica.js';
import { isTerminalFrame, TestSocket } from '../support/socket.js';
import { allowed } from '../support/machine.js';

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await LocalCluster.start({ config: { app: { shutdown_timeout: '${GRACE:-10s}' } } });
});
afterAll(() => cluster.close());

/** The grace of a replica whose turns are to outlast it; a drain that they end has 10 s. */
const SHORT = { GRACE: '3s' };
const SHORT_MS = 3_000;

function replica(i: number): Replica {
  const one = cluster.replicas[i];
  if (one === undefined) throw new Error('there are three');
  return one;
}

async function ask(where: Replica, deltas: number, intervalMs: number) {
  const socket = await TestSocket.open(where.socketUrl, { protocols: ['sluice.v1'] });
  socket.send({ type: 'response.create', input: inputOf({ deltas, intervalMs }) });
  const { response } = await socket.next('response.created');
  // The first event of a response carries it.
  return { socket, id: (response as { readonly id: string }).id };
}

/** Everything of a response, read by SSE from another replica. */
async function readFrom(where: Replica, id: string, deltas: number) {
  const truth = new Truth();
  truth.of(id).deltas = deltas;
  const viewer = new SseViewer(truth, where.url);
  const view = viewer.watch(id, -1);
  await view.done;
  viewer.close();
  expect(truth.violations).toEqual([]);
  return view;
}

async function upgradeStatus(where: Replica): Promise<{ status: number; retryAfter: string | null }> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const headers = {
      connection: 'upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const asked = request(`${where.url}/v1/responses`, { headers });
    asked.on('response', (answer) => {
      answer.resume();
      resolve({ status: answer.statusCode ?? 0, retryAfter: answer.headers['retry-after'] ?? null });
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('a rolling restart under live traffic', () => {
  it('loses no event, repeats none, and ends no turn early', async () => {
    const crowd = new Crowd({ url: cluster.url, conversations: [], seed: 4, cancels: false, mostDeltas: 120 });
    const running = crowd.run(36);
    await pause(2_500);
    for (const each of cluster.replicas) {
      expect(await each.stop()).toBe(0);
      if (each === replica(1)) each.change(SHORT);
      await each.start();
      await pause(500);
    }
    crowd.stop();
    await running;
    crowd.close();
    const { truth } = crowd;
    expect(truth.violations).toEqual([]);
    const { refused: _, ...ends } = truth.ends();
    expect(Object.keys(ends)).toEqual(['completed']);
    expect(truth.refusalsBut()).toEqual([]);
    expect(truth.delivered).toBeGreaterThan(2_000);
    expect(crowd.gaveUp).toBe(0);
  });
});

describe('a draining replica', () => {
  it('drains in order: unready, refused upgrades, announcement, close with 1012, exit with 0 after the turns', async () => {
    const leaving = replica(0);
    const asked = await Promise.all(Array.from({ length: 8 }, () => ask(leaving, 150, 20)));
    const exit = leaving.stop();
    const first = asked[0];
    if (first === undefined) throw new Error('eight were created');
    expect(await first.socket.next('sluice:draining')).toMatchObject({ reconnect_after_ms: expect.any(Number) });
    expect(await leaving.status('/ready')).toBe(503);
    expect(await leaving.status('/health')).toBe(200);
    const refused = await upgradeStatus(leaving);
    expect(refused.status).toBe(503);
    expect(Number(refused.retryAfter)).toBeGreaterThan(0);
    for (const { socket } of asked) {
      expect(await socket.closed).toMatchObject({ code: 1012 });
      // The answer was not waited for: it takes 3 s.
      expect(socket.frames.some(isTerminalFrame)).toBe(false);
    }
    const views = await Promise.all(asked.map(({ id }, i) => readFrom(replica(1 + (i % 2)), id, 150)));
    for (const { end, text } of views) expect({ end, text }).toEqual({ end: 'completed', text: spoken(150) });
    expect(await exit).toBe(0);
    leaving.change(SHORT);
    await leaving.start();
  });

  it('ends turns that outlast its grace with replica_lost and exits with 1', async () => {
    const leaving = replica(1);
    const { id } = await ask(leaving, 2_000, 20);
    const since = performance.now();
    const exit = leaving.stop();
    const view = await readFrom(replica(2), id, 2_000);
    expect(view.end).toBe('replica_lost');
    expect(view.text.length).toBeGreaterThan(100);
    expect(await exit).toBe(1);
    expect(performance.now() - since).toBeLessThan(allowed(SHORT_MS + 6_000));
    await leaving.start();
  });

  it('ends the turns of a draining replica at once on a second signal', async () => {
    const leaving = replica(2);
    const { socket, id } = await ask(leaving, 2_000, 20);
    leaving.signal('SIGTERM');
    await socket.next('sluice:draining');
    const since = performance.now();
    leaving.signal('SIGTERM');
    expect((await readFrom(replica(0), id, 2_000)).end).toBe('replica_lost');
    expect((await leaving.ended).code).toBe(143);
    expect(performance.now() - since).toBeLessThan(allowed(6_000));
    await leaving.start();
  });

  it('exits with 0 during a Redis outage if no turn runs', async () => {
    const leaving = replica(1);
    cluster.redis.pause();
    const since = performance.now();
    try {
      expect(await leaving.stop()).toBe(0);
      expect(performance.now() - since).toBeLessThan(allowed(5_000));
    } finally {
      cluster.redis.resume();
    }
    await leaving.start();
  });

  it('exits in bounded time during a Redis outage', async () => {
    const leaving = replica(0);
    const { id } = await ask(leaving, 2_000, 20);
    cluster.redis.pause();
    const since = performance.now();
    try {
      expect(await leaving.stop()).toBe(1);
      // The grace, then what comes after it.
      expect(performance.now() - since).toBeLessThan(allowed(SHORT_MS + 16_000));
    } finally {
      cluster.redis.resume();
    }
    // No client could be notified then; another replica ends the turn when the lease has expired.
    expect((await readFrom(replica(1), id, 2_000)).end).toBe('replica_lost');
    await leaving.start();
  });
});
