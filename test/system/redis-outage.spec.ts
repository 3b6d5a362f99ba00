/*
 * Redis failures under a whole system: short ones are waited out without loss, long ones are
 * reported, and none ends a replica.
 */

import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { pause } from '../chaos/faults.js';
import { inputOf } from '../chaos/own-viewer.js';
import { OfficialViewer } from '../chaos/official-viewer.js';
import { SseViewer } from '../chaos/sse-viewer.js';
import { Truth, type View } from '../chaos/truth.js';
import { LocalCluster } from '../../scripts/development/cluster/local-cluster.js';
import { type Replica } from '../../scripts/development/cluster/replica.js';
import { TestSocket } from '../support/socket.js';

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await LocalCluster.start({
    replicas: 2,
    config: { state: { outage_after: '6s' }, middleware: { template: { enabled: false } } },
  });
});
afterAll(() => cluster.close());
afterEach(() => {
  // Whatever happened to Redis: no replica ended by itself or let a failure go unheard.
  for (const { ends, lines } of cluster.replicas) {
    expect(ends).toEqual([]);
    expect(lines.filter((line) => /unhandled|uncaught/iu.test(line))).toEqual([]);
  }
});

const replicaAt = (i: number): Replica => {
  const one = cluster.replicas[i % 2];
  if (one === undefined) throw new Error('there are two');
  return one;
};

async function eventually(test: () => Promise<boolean>): Promise<void> {
  while (!(await test())) await pause(50);
}

const allReady = () =>
  eventually(async () => (await Promise.all(cluster.replicas.map((one) => one.isReady()))).every(Boolean));

/**
 * Viewers of both kinds on both replicas, each with a turn of about 4 s; `trouble` begins when all
 * have begun.
 */
async function underTraffic(trouble: (truth: Truth) => Promise<void>): Promise<Truth> {
  const truth = new Truth();
  const viewers: { close(): void }[] = [];
  const views: View[] = [];
  for (let i = 0; i < 12; i++) {
    const question = { deltas: 200, intervalMs: 20 };
    if (i % 2 === 0) {
      const viewer = new SseViewer(truth, replicaAt(i / 2).url);
      viewers.push(viewer);
      views.push(viewer.ask(question));
    } else {
      const viewer = new OfficialViewer(truth, replicaAt((i - 1) / 2).url);
      viewers.push(viewer);
      views.push(viewer.ask('a', question));
    }
  }
  await eventually(() => Promise.resolve(views.every(({ last }) => last > 10)));
  await trouble(truth);
  await Promise.race([Promise.all(views.map(({ done }) => done)), pause(150_000)]);
  for (const viewer of viewers) viewer.close();
  expect(truth.violations).toEqual([]);
  expect(truth.ends()).not.toHaveProperty('hanging');
  return truth;
}

describe('a short outage', () => {
  it('loses no event of a running turn in an outage of 3 s', async () => {
    const truth = await underTraffic(async () => {
      cluster.redis.pause();
      await pause(3_000);
      cluster.redis.resume();
    });
    expect(truth.ends()).toEqual({ completed: 12 });
    await allReady();
  });

  it('loses no event of a running turn by a crash and a restart within 5 s', async () => {
    const truth = await underTraffic(async () => {
      await cluster.redis.kill();
      await pause(2_000);
      await cluster.redis.start();
    });
    expect(truth.ends()).toEqual({ completed: 12 });
    await allReady();
  });
});

describe('a long outage', () => {
  it('causes 1013, an unready probe and refused upgrades, and ends without a restart of the replica', async () => {
    const sockets = await Promise.all(cluster.replicas.map(({ socketUrl }) => TestSocket.open(socketUrl)));
    cluster.redis.pause();
    const since = performance.now();
    try {
      for (const socket of sockets) expect((await socket.closed).code).toBe(1013);
      expect(performance.now() - since).toBeGreaterThan(5_500);
      for (const one of cluster.replicas) {
        expect(await one.status('/ready', 3_000)).toBe(503);
        expect(await one.status('/health')).toBe(200);
        expect(await one.metric('state_up')).toBe(0);
        await expect(TestSocket.open(one.socketUrl)).rejects.toThrow('503');
        const answer = await fetch(`${one.url}/v1/responses`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ input: 'hello' }),
        });
        expect(answer.status).toBe(503);
        expect(await answer.json()).toMatchObject({ error: { code: 'state_unavailable' } });
      }
    } finally {
      cluster.redis.resume();
    }
    await allReady();
    for (const one of cluster.replicas) {
      const socket = await TestSocket.open(one.socketUrl);
      socket.send({ type: 'response.create', input: inputOf({ deltas: 3, intervalMs: 1 }) });
      await socket.next('response.completed');
      socket.close();
      expect(await one.metric('state_up')).toBe(1);
    }
  });
});

describe('a turn on a Redis that', () => {
  /** A new turn works again on every replica. */
  async function worksAgain(): Promise<void> {
    for (const one of cluster.replicas) {
      await eventually(async () => {
        const answer = await fetch(`${one.url}/v1/responses`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
          body: JSON.stringify({ input: inputOf({ deltas: 3, intervalMs: 1 }) }),
        });
        // So the protocol says.
        return ((await answer.json()) as { status?: string }).status === 'completed';
      });
    }
  }

  it('loses everything during an answer ends without a different text and without a wait for ever', async () => {
    const truth = new Truth();
    const viewers = [0, 1].map((i) => new SseViewer(truth, replicaAt(i).url));
    const views = viewers.map((viewer) => viewer.ask({ deltas: 150, intervalMs: 20 }));
    await eventually(() => Promise.resolve(views.every(({ last }) => last > 20)));
    await cluster.redis.admin.flushall();
    await Promise.race([Promise.all(views.map(({ done }) => done)), pause(150_000)]);
    for (const viewer of viewers) viewer.close();
    // Either an error, or complete if its replica could write it again; numbers and text are true
    // either way.
    for (const { end } of views) expect(['completed', 'lost', 'refused', 'replica_lost']).toContain(end);
    expect(truth.violations.filter((what) => !what.includes('lost: '))).toEqual([]);
    await worksAgain();
  });

  it('loses no event on a Redis that loses its scripts and cuts every connection repeatedly', async () => {
    const truth = await underTraffic(async () => {
      for (let i = 0; i < 5; i++) {
        await cluster.redis.admin.script('FLUSH');
        await cluster.redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await cluster.redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await pause(300);
      }
    });
    expect(truth.ends()).toEqual({ completed: 12 });
    const resets = await Promise.all(cluster.replicas.map((one) => one.metric('subscriber_resets_total')));
    expect(Math.min(...resets)).toBeGreaterThan(0);
  });

  it('fails a new turn on a Redis without memory, and continues a running one later', async () => {
    const truth = await underTraffic(async () => {
      await cluster.redis.admin.config('SET', 'maxmemory', '1');
      await pause(500);
      const refused = await fetch(`${replicaAt(0).url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input: 'hello' }),
      });
      expect(refused.status).toBe(503);
      expect(await refused.json()).toMatchObject({ error: { code: 'state_unavailable' } });
      await cluster.redis.admin.config('SET', 'maxmemory', '0');
    });
    expect(truth.ends()).toEqual({ completed: 12 });
    expect(await replicaAt(0).metric('state_errors_total{reason="out_of_memory"}')).toBeGreaterThan(0);
    await allReady();
  });

  it('fails a new turn on a Redis that became a read-only replica, and continues a running one later', async () => {
    const truth = await underTraffic(async () => {
      // Of a master that is not there: one with nothing in it would make it forget all.
      await cluster.redis.admin.replicaof('127.0.0.1', 1);
      await eventually(async () => (await replicaAt(0).status('/ready', 3_000)) === 503);
      await cluster.redis.admin.call('REPLICAOF', 'NO', 'ONE');
    });
    expect(truth.ends()).toEqual({ completed: 12 });
    expect(await replicaAt(0).metric('state_errors_total{reason="readonly"}')).toBeGreaterThan(0);
    await allReady();
    await worksAgain();
  });
});
