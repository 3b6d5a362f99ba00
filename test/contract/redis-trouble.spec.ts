/*
 * Faults of a Redis and of the connections to it: nothing is lost without an error, and no number
 * appears twice with different text. An unhandled rejection fails the running test.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/domain/ids.js';
import { FollowHub } from '../../src/state/follow/follow-hub.js';
import { type Viewer } from '../../src/state/follow/viewer.js';
import { RedisKeys } from '../../src/state/redis/redis-keys.js';
import { type RedisHooks, type RedisStateOptions } from '../../src/state/redis/redis-options.js';
import { redisState } from '../../src/state/redis/redis-state.js';
import { type State } from '../../src/state/state.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { StallableProxy } from '../support/stallable-proxy.js';
import { appendInspite, openRedisStore, type RedisStore, SHORT_TIMES } from './redis-store.js';
import { eventually } from './suites/contract-store.js';
import { delta, deltas, headOf, numbersOf, terminal } from './suites/log-fixtures.js';
import { allowed } from '../support/machine.js';

const NEVER = new AbortController().signal;
const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, i) => i);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The calls of all hooks, in order. */
class HookCalls {
  readonly calls: string[] = [];
  readonly hooks: RedisHooks = {
    onState: (state, reason) => this.calls.push(reason === null ? state : `${state}: ${reason}`),
    onError: (reason) => this.calls.push(`error: ${reason}`),
    onTailRepaired: (events) => this.calls.push(`repaired ${events}`),
    onUnreadable: (what) => this.calls.push(`unreadable ${what}`),
    onSubscriberReset: () => this.calls.push('subscriber reset'),
    onLimiterLocal: (local, replicas) => this.calls.push(local ? `limiter local of ${replicas}` : 'limiter shared'),
    onNotice: (notice) => this.calls.push(notice),
  };
}

async function follow(state: State, id: string, after = -1) {
  const hub = new FollowHub({ events: state.events, tailCheckMs: 50 });
  const numbers: number[] = [];
  const texts: string[] = [];
  const opened: { viewer?: Viewer } = {};
  const drain = (): void => {
    const take = () => opened.viewer?.take(50) ?? [];
    for (let events = take(); events.length > 0; events = take()) {
      numbers.push(...numbersOf(events));
      texts.push(...events.map(({ json }) => json));
    }
  };
  const viewer = await hub.open(id, after, drain);
  if (viewer === undefined) throw new Error('no such log');
  opened.viewer = viewer;
  drain();
  return { numbers, texts, viewer, close: () => hub.close() };
}

describe('Redis in trouble', () => {
  let server: RedisServer;
  let proxy: StallableProxy;
  let store: RedisStore;
  let hookCalls: HookCalls;
  const timing = { heartbeatMs: 40, commandTimeoutMs: 250, readyWaitMs: 150, claimPollMs: 60 };

  // Leases are short, and logs outlive every trouble here.
  const times = { ...SHORT_TIMES, runningMs: 60_000, endedMs: 60_000 };
  const openStore = (options: Partial<RedisStateOptions> = {}) => {
    hookCalls = new HookCalls();
    const connection = { url: `redis://127.0.0.1:${proxy.port}` };
    return openRedisStore(connection, { hooks: hookCalls.hooks, timing, times, ttlMs: times.endedMs, ...options });
  };
  /** Opens the store again: its commands outlast a new connection, and a stall of the machine. */
  const waitLonger = async () => {
    await store.close();
    store = await openStore({ timing: { ...timing, commandTimeoutMs: 10_000, readyWaitMs: 5_000 } });
  };
  beforeEach(async () => {
    server = await RedisServer.start();
    proxy = await StallableProxy.start(server.port);
    store = await openStore();
  });
  afterEach(async () => {
    await store.close();
    await proxy.close();
    await server.close();
  });

  const created = async (fields = {}) => {
    const head = headOf(fields);
    return { id: head.responseId, fence: await store.state.events.create(head) };
  };

  it('runs scripts again after SCRIPT FLUSH, without an error', async () => {
    await waitLonger();
    const { id, fence } = await created();
    await store.state.events.append(id, fence, [delta(0)]);
    await server.admin.script('FLUSH');
    expect(await store.state.events.append(id, fence, [delta(1)])).toMatchObject({ outcome: 'appended' });
    await server.admin.script('FLUSH');
    expect((await store.other.events.read(id, -1, 10))?.events).toEqual(deltas(0, 1));
    expect(hookCalls.calls.filter((word) => word.startsWith('error'))).toEqual([]);
  });

  it('never shows another replica a log without its first events while logs are created', async () => {
    await waitLonger();
    const heads = Array.from({ length: 100 }, () => headOf());
    let beginning = true;
    const looking = (async () => {
      const lasts = new Set<number | undefined>();
      while (beginning) {
        const pages = await Promise.all(heads.map(({ responseId }) => store.other.events.read(responseId, -1, 0)));
        for (const page of pages) lasts.add(page?.last);
      }
      return lasts;
    })();
    for (const head of heads) await store.state.events.createWith(head, deltas(0, 1));
    beginning = false;
    expect([...(await looking)]).not.toContain(-1);
  });

  it('loses and repeats no event while connections of every kind are killed', async () => {
    const turns = await Promise.all(Array.from({ length: 8 }, () => created()));
    const viewers = await Promise.all(turns.map(({ id }) => follow(store.other, id)));
    let killing = true;
    const kills = (async () => {
      for (let i = 0; killing; i++) {
        await server.admin.call('CLIENT', 'KILL', 'TYPE', i % 2 === 0 ? 'normal' : 'pubsub', 'SKIPME', 'yes');
        await pause(25);
      }
    })();
    await Promise.all(
      turns.map(async ({ id, fence }) => {
        for (let i = 0; i < 150; i++) {
          expect((await appendInspite(store.state, id, fence, deltas(i, i))).outcome).toBe('appended');
        }
        await appendInspite(store.state, id, fence, [terminal(150)]);
      }),
    );
    killing = false;
    await kills;
    await eventually(() => viewers.every(({ viewer }) => viewer.state === 'ended'));
    for (const { numbers } of viewers) expect(numbers).toEqual(upTo(150));
    expect(hookCalls.calls).toContain('subscriber reset');
    for (const { close } of viewers) close();
  });

  it('fails no command while command connections are killed: each waits for the next connection', async () => {
    await waitLonger();
    const { id } = await created();
    let killing = true;
    const kills = (async () => {
      for (let i = 0; i < 8; i++) {
        await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await pause(250);
      }
      killing = false;
    })();
    const sent: Promise<unknown>[] = [];
    while (killing) {
      sent.push(store.state.events.read(id, -1, 1), store.state.conversations.get('conv_1'));
      // So many that each kill meets some, and no more than a busy machine works off.
      await pause(1);
    }
    await kills;
    const results = await Promise.allSettled(sent);
    expect(results.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(results.length).toBeGreaterThan(200);
  });

  it('notifies watchers and waiting turns after messages may have been lost', async () => {
    const conversation = newId('conv');
    const holder = await created();
    const waiting = await created();
    await store.state.claim.join(conversation, holder.id, 4);
    await store.other.claim.join(conversation, waiting.id, 4);
    let gaps = 0;
    const stop = await store.other.announcements.watch(
      conversation,
      () => undefined,
      () => (gaps += 1),
    );
    let cancelled = 0;
    const unwatch = await store.state.lease.watchCancel(holder.id, () => (cancelled += 1));
    const waits = store.other.claim.wait(conversation, waiting.id, NEVER);
    // Leaves and requests a cancel while no subscriber is connected.
    const keys = new RedisKeys(store.keyPrefix);
    await server.admin.hset(keys.turn(holder.id).meta, 'cancel', '1');
    await server.admin.zrem(keys.queue(conversation), holder.id);
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await waits;
    await eventually(() => gaps > 0 && cancelled > 0);
    stop();
    unwatch();
  });

  it('reports a lost announcement once after the watcher reconnects, and no older one', async () => {
    const conversation = newId('conv');
    await store.state.announcements.announce(conversation, 'resp_before');
    const heard: string[] = [];
    const stop = await store.other.announcements.watch(
      conversation,
      (id) => heard.push(id),
      () => undefined,
    );
    // Neither runs nor waits there any more when the watcher can ask.
    expect(proxy.stall('sluice-subscriber')).toBe(2);
    await store.state.announcements.announce(conversation, 'resp_missed');
    await store.state.announcements.announce(conversation, 'resp_missed');
    await eventually(() => heard.length > 0);
    expect(heard).toEqual(['resp_missed']);
    await store.state.announcements.announce(conversation, 'resp_heard');
    await eventually(() => heard.length > 1);
    expect(heard).toEqual(['resp_missed', 'resp_heard']);
    stop();
  });

  it('reads announcements again until Redis answers, if it was unreachable while turns were announced', async () => {
    const conversation = newId('conv');
    const heard: string[] = [];
    const stop = await store.other.announcements.watch(
      conversation,
      (id) => heard.push(id),
      () => undefined,
    );
    const elsewhere = await openRedisStore({ url: server.url }, { keyPrefix: store.keyPrefix });
    proxy.cut();
    for (let i = 0; i < 70; i++) await elsewhere.state.announcements.announce(conversation, `resp_${i}`);
    await pause(timing.readyWaitMs * 2);
    expect(heard).toEqual([]);
    proxy.mend();
    await eventually(() => heard.includes('resp_69'));
    // Only so many are kept.
    expect(heard).toEqual(Array.from({ length: 64 }, (_, i) => `resp_${i + 6}`));
    stop();
    await elsewhere.close();
  });

  it('replaces a subscriber connection that is open but dead', async () => {
    const { id, fence } = await created();
    const { numbers, close } = await follow(store.other, id);
    await store.state.events.append(id, fence, [delta(0)]);
    await eventually(() => numbers.length === 1);
    expect(proxy.stall('sluice-subscriber')).toBe(2);
    // One reset a replica.
    await eventually(() => hookCalls.calls.filter((word) => word === 'subscriber reset').length === 2);
    let live: number[] = [];
    const stop = await store.other.events.subscribe(
      id,
      (events) => (live = numbersOf(events)),
      () => undefined,
    );
    await store.state.events.append(id, fence, [delta(1)]);
    await eventually(() => live.length === 1 && numbers.length === 2);
    stop();
    close();
  });

  it('replaces a command connection that is open but dead, and continues on a new one', async () => {
    const { id, fence } = await created();
    expect(proxy.stall('sluice-log')).toBe(2);
    await appendInspite(store.state, id, fence, deltas(0, 2));
    await appendInspite(store.state, id, fence, [terminal(3)]);
    expect((await store.other.events.read(id, -1, 10))?.events).toEqual([...deltas(0, 2), terminal(3)]);
  });

  it.each(['sluice-store', 'sluice-log'])(
    'reports no outage if only the connection %s does not answer',
    async (name) => {
      expect(proxy.stall(name)).toBe(2);
      // The command waits on the dead connection until that is dropped, and is answered on the next
      // one.
      await eventually(() =>
        (name === 'sluice-log'
          ? store.state.events.read('resp_1', -1, 1)
          : store.state.conversations.get('conv_1')
        ).then(
          () => true,
          () => false,
        ),
      );
      await store.state.ping();
      expect(store.state.isUp).toBe(true);
      expect(hookCalls.calls.filter((word) => word.startsWith('down'))).toEqual([]);
    },
  );

  it('reports a removal as done if its reply is lost', async () => {
    await waitLonger();
    const conversation = { id: 'conv_1', owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} };
    const { conversations } = store.state;
    await conversations.create(conversation, headOf().input);
    proxy.loseReply('sluice-store', 'LREM');
    expect(await conversations.deleteItem('conv_1', 'msg_1')).toBe(true);
    expect(await conversations.recentItems('conv_1', 5)).toEqual([]);
    proxy.loseReply('sluice-store', '\r\nDEL\r\n');
    expect(await conversations.delete('conv_1')).toBe(true);
    expect(await conversations.get('conv_1')).toBeUndefined();
    expect(proxy.lostReplies).toBe(2);
  });

  it('counts a take and a charge once if the connection closes before the reply', async () => {
    await waitLonger();
    const bucket = { key: 'b', capacity: 10, refillPerSecond: 0.001 };
    const { limiter } = store.state;
    await limiter.take(bucket, 1);
    proxy.loseReply('sluice-store', 'rate:b');
    expect(await limiter.take(bucket, 2)).toMatchObject({ allowed: true, remaining: 7 });
    proxy.loseReply('sluice-store', 'rate:b');
    expect(await limiter.charge(bucket, 3)).toMatchObject({ remaining: 4 });
    proxy.loseReply('sluice-store', 'rate:b');
    expect(await limiter.charge(bucket, -1)).toMatchObject({ remaining: 5 });
    expect(await store.other.limiter.take(bucket, 0)).toMatchObject({ remaining: 5 });
    expect(proxy.lostReplies).toBe(3);
  });

  it('counts a refund that fills the bucket once if the connection closes before the reply', async () => {
    await waitLonger();
    const bucket = { key: 'b', capacity: 10, refillPerSecond: 0.001 };
    const { limiter } = store.state;
    await limiter.charge(bucket, 2);
    proxy.loseReply('sluice-store', 'rate:b');
    const refund = limiter.charge(bucket, -2);
    // Another replica takes from the full bucket before the refund is sent again.
    await eventually(() => proxy.lostReplies === 1);
    await store.other.limiter.take(bucket, 4);
    await refund;
    expect(await limiter.take(bucket, 0)).toMatchObject({ remaining: 6 });
  });

  it('fences the turn and marks its viewers lost after FLUSHALL, and repeats no number', async () => {
    const conversation = newId('conv');
    const { id, fence } = await created();
    const waiting = await created();
    await store.state.claim.join(conversation, id, 4);
    await store.state.claim.join(conversation, waiting.id, 4);
    const waits = store.state.claim.wait(conversation, waiting.id, NEVER).catch((error: unknown) => error);
    const { numbers, viewer, close } = await follow(store.other, id);
    await store.state.events.append(id, fence, deltas(0, 4));
    await eventually(() => numbers.length === 5);
    await server.admin.flushall();
    expect(await store.state.events.append(id, fence, [delta(5)])).toEqual({ outcome: 'fenced' });
    expect(await store.state.lease.renew(id, fence)).toEqual({ held: false, cancelRequested: false });
    await eventually(() => viewer.state === 'lost');
    expect(numbers).toEqual(upTo(4));
    expect(await waits).toMatchObject({ code: 'state_unavailable' });
    expect(await store.state.lease.adoptExpired(10)).toEqual([]);
    // What comes after works as on the first day.
    const next = await created();
    expect(await store.state.claim.join(conversation, next.id, 0)).toEqual({ first: true });
    expect((await store.state.events.append(next.id, 1, [delta(0)])).outcome).toBe('appended');
    close();
  });

  describe('fails over to a replica', () => {
    let replica: RedisServer;
    beforeEach(async () => {
      replica = await RedisServer.start({ settings: ['--replicaof', '127.0.0.1', `${server.port}`] });
      await eventually(async () => (await server.admin.info('replication')).includes('state=online'));
      await waitLonger();
    });
    afterEach(() => replica.close());

    /** The replica stops hearing of writes, `meanwhile` happens, then it is the master. */
    const failOver = async (meanwhile: () => Promise<unknown>) => {
      await replica.catchUp(server);
      await replica.admin.replicaof('NO', 'ONE');
      await meanwhile();
      proxy.targetPort = replica.port;
      proxy.cut();
      proxy.mend();
    };

    /** The other replica takes the turn over when its lease has run out. */
    const adopt = async (id: string) => {
      let adopted: Awaited<ReturnType<State['lease']['adoptExpired']>> = [];
      await eventually(async () => {
        adopted = await store.other.lease.adoptExpired(10).catch(() => []);
        return adopted.some(({ responseId }) => responseId === id);
      });
      return adopted.find(({ responseId }) => responseId === id)?.fence ?? 0;
    };

    it('rewrites the lost events with the same numbers and text if the replica was behind', async () => {
      const { id, fence } = await created();
      const { numbers, texts, viewer, close } = await follow(store.other, id);
      await store.state.events.append(id, fence, deltas(0, 9));
      await failOver(async () => {
        await store.state.events.append(id, fence, deltas(10, 14));
        await eventually(() => numbers.length === 15);
      });
      // Its viewer has read the log by now, and waits for the writer.
      await pause(200);
      expect(viewer.state).toBe('following');
      await appendInspite(store.state, id, fence, deltas(15, 16));
      await appendInspite(store.state, id, fence, [terminal(17)]);
      expect(hookCalls.calls).toContain('repaired 5');
      const all = [...deltas(0, 16), terminal(17)];
      expect((await store.other.events.read(id, -1, 100))?.events).toEqual(all);
      await eventually(() => viewer.state !== 'following');
      expect([viewer.state, texts]).toEqual(['ended', all.map(({ json }) => json)]);
      close();
    });

    it('ends the turn after the surviving events if the writer is gone too, and marks viewers that saw more as lost', async () => {
      const { id, fence } = await created();
      const { numbers, viewer, close } = await follow(store.other, id);
      await store.state.events.append(id, fence, deltas(0, 9));
      await failOver(async () => {
        await store.state.events.append(id, fence, deltas(10, 14));
        await eventually(() => numbers.length === 15);
      });
      const adopted = await adopt(id);
      const ending = [...Array.from({ length: 8 }, (_, i) => delta(10 + i, 'other')), terminal(18)];
      expect((await appendInspite(store.other, id, adopted, ending)).outcome).toBe('appended');
      await eventually(() => viewer.state === 'lost');
      expect(numbers).toEqual(upTo(14));
      const late = await follow(store.other, id);
      expect(late.texts).toEqual([...deltas(0, 9), ...ending].map(({ json }) => json));
      late.close();
      close();
    });

    it('fences the writer if the replica lost more than the writer remembers, without a hole or a repeated number', async () => {
      const { id, fence } = await created();
      await store.state.events.append(id, fence, deltas(0, 1));
      const { numbers, viewer, close } = await follow(store.other, id);
      await failOver(async () => {
        for (let i = 2; i < 400; i += 2) await store.state.events.append(id, fence, deltas(i, i + 1));
        await eventually(() => numbers.length === 400);
      });
      expect(await appendInspite(store.state, id, fence, deltas(400, 400))).toEqual({ outcome: 'fenced' });
      expect((await store.other.events.read(id, -1, 500))?.events).toEqual(deltas(0, 1));
      await appendInspite(store.other, id, await adopt(id), [terminal(2)]);
      await eventually(() => viewer.state === 'lost');
      expect(numbers).toEqual(upTo(399));
      close();
    });

    it('fences the writer if the replica never received the turn', async () => {
      let turn = { id: '', fence: 0 };
      await failOver(async () => {
        turn = await created();
        await store.state.events.append(turn.id, turn.fence, deltas(0, 3));
      });
      expect(await appendInspite(store.state, turn.id, turn.fence, [delta(4)])).toEqual({ outcome: 'fenced' });
      expect(await store.other.events.read(turn.id, -1, 10)).toBeUndefined();
    });
  });

  it('reports a full Redis (maxmemory, noeviction), and continues when there is room again', async () => {
    const { id, fence } = await created();
    await store.state.events.append(id, fence, deltas(0, 2));
    await server.admin.config('SET', 'maxmemory', '1');
    const refused = await Promise.resolve(store.state.events.append(id, fence, deltas(3, 4))).catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ code: 'state_unavailable', retryable: true, status: 503 });
    expect(String(refused)).toContain('out of memory');
    await expect(store.state.ping()).rejects.toMatchObject({ code: 'state_unavailable' });
    expect((await store.other.events.read(id, -1, 10))?.events).toEqual(deltas(0, 2));
    await eventually(() => !store.state.isUp && !store.other.isUp);
    expect(hookCalls.calls).toContain('error: out_of_memory');
    expect(hookCalls.calls).toContain('down: out_of_memory');
    await server.admin.config('SET', 'maxmemory', '0');
    expect((await store.state.events.append(id, fence, deltas(3, 4))).outcome).toBe('appended');
    await eventually(() => store.state.isUp);
    expect((await store.other.events.read(id, -1, 10))?.events).toEqual(deltas(0, 4));
  });

  it('reports a Redis that became a read-only replica, and continues when it is a master again', async () => {
    const { id, fence } = await created();
    await server.admin.replicaof('127.0.0.1', 1);
    const refused = await Promise.resolve(store.state.events.append(id, fence, deltas(0, 1))).catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ code: 'state_unavailable' });
    expect(String(refused)).toContain('read-only replica');
    await eventually(() => hookCalls.calls.includes('down: readonly'));
    await server.admin.replicaof('NO', 'ONE');
    expect((await appendInspite(store.state, id, fence, deltas(0, 1))).outcome).toBe('appended');
    await eventually(() => store.state.isUp);
  });

  it('refuses to answer as a replica without its master, and without its data loaded', async () => {
    const { id } = await created();
    await server.admin.config('SET', 'replica-serve-stale-data', 'no');
    await server.admin.replicaof('127.0.0.1', 1);
    const refused = await store.state.events.read(id, -1, 1).catch((error: unknown) => error);
    expect(String(refused)).toContain('lost its master');
    await server.admin.replicaof('NO', 'ONE');
    await eventually(async () => (await store.state.events.read(id, -1, 1).catch(() => undefined)) !== undefined);
  });

  it('fails commands in time, loses nothing and adopts no running turn while Redis is stopped (SIGSTOP)', async () => {
    const { id, fence } = await created();
    const { numbers, viewer, close } = await follow(store.other, id);
    await store.state.events.append(id, fence, deltas(0, 2));
    server.pause();
    const startedAt = performance.now();
    await expect(store.state.events.append(id, fence, deltas(3, 4))).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    expect(performance.now() - startedAt).toBeLessThan(allowed(1_500));
    await eventually(() => !store.state.isUp && !store.other.isUp);
    await expect(store.other.conversations.get('conv_1')).rejects.toMatchObject({ code: 'state_unavailable' });
    await pause(SHORT_TIMES.leaseMs * 1.5);
    server.resume();
    // Its lease has run out by Redis' time; a sweeper must wait for its owner.
    const sweeps = (async () => {
      const adopted: unknown[] = [];
      for (let i = 0; i < 20; i++) {
        adopted.push(...(await store.other.lease.adoptExpired(10).catch(() => [])));
        await pause(10);
      }
      return adopted;
    })();
    expect((await appendInspite(store.state, id, fence, deltas(3, 4))).outcome).toBe('appended');
    expect(await sweeps).toEqual([]);
    expect((await appendInspite(store.state, id, fence, [terminal(5)])).outcome).toBe('appended');
    await eventually(() => viewer.state === 'ended');
    expect(numbers).toEqual(upTo(5));
    expect(hookCalls.calls).toContain('down: timeout');
    await eventually(() => store.state.isUp && store.other.isUp);
    close();
  });

  it('fails commands in time during an outage, and handles cancels and orphans after it', async () => {
    const { id, fence } = await created();
    const orphan = await created();
    proxy.cut();
    const startedAt = performance.now();
    const results = await Promise.allSettled([
      store.state.events.append(id, fence, [delta(0)]),
      store.state.events.read(id, -1, 1),
      store.state.events.requestCancel(id),
      store.state.lease.renew(id, fence),
      store.state.claim.join('conv_1', id, 1),
      store.state.conversations.get('conv_1'),
      store.state.responses.get('resp_1'),
      store.state.keys.claim({ owner: 'o', key: 'k', fingerprint: 'f', responseId: id }),
      store.state.ping(),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(allowed(1_500));
    for (const result of results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'state_unavailable' } });
    }
    const subscribing = store.other.events.subscribe(
      orphan.id,
      () => undefined,
      () => undefined,
    );
    await expect(subscribing).rejects.toMatchObject({ code: 'state_unavailable' });
    expect(await store.state.lease.adoptExpired(10).catch(() => [])).toEqual([]);
    proxy.mend();
    expect((await appendInspite(store.state, id, fence, [delta(0)])).outcome).toBe('appended');
    // The first replica that sweeps after a whole lease without a break adopts it.
    await eventually(async () => {
      await store.state.lease.renew(id, fence).catch(() => undefined);
      const adopted = await store.other.lease.adoptExpired(10).catch(() => []);
      return adopted.some(({ responseId }) => responseId === orphan.id);
    });
  });

  it('closes a replica without waiting for a Redis that does not answer', async () => {
    await store.close();
    store = await openStore({ timing: { ...timing, commandTimeoutMs: 3_000 } });
    const { id } = await created();
    server.pause();
    const asked = store.state.events.read(id, -1, 1).catch((error: unknown) => error);
    const startedAt = performance.now();
    await Promise.all([store.state.close(), store.other.close()]);
    expect(performance.now() - startedAt).toBeLessThan(allowed(1_500));
    expect(await asked).toMatchObject({ code: 'state_unavailable' });
    server.resume();
  });

  it('limits by the share of each replica while Redis does not answer, and reports it', async () => {
    const bucket = { key: 'user:ann', capacity: 10, refillPerSecond: 0.001 };
    await eventually(async () => {
      await Promise.all([store.state.ping(), store.other.ping()]);
      return (await server.admin.zcard(new RedisKeys(store.keyPrefix).replicas)) === 2;
    });
    proxy.cut();
    const takes = [];
    for (let i = 0; i < 8; i++) takes.push(await store.state.limiter.take(bucket, 1));
    expect(takes.filter(({ allowed }) => allowed)).toHaveLength(5);
    expect(hookCalls.calls).toContain('limiter local of 2');
    proxy.mend();
    await eventually(() => store.state.isUp);
    await eventually(async () => {
      await store.state.limiter.take(bucket, 0);
      return hookCalls.calls.includes('limiter shared');
    });
    expect(await store.state.limiter.take(bucket, 1)).toMatchObject({ allowed: true, remaining: 9 });
  });

  it('continues turns after a restart of Redis with its data', async () => {
    await server.admin.config('SET', 'appendonly', 'yes');
    await eventually(async () => (await server.admin.info('persistence')).includes('aof_rewrite_in_progress:0'));
    await server.admin.config('SET', 'appendfsync', 'always');
    const { id, fence } = await created();
    const { numbers, viewer, close } = await follow(store.other, id);
    await store.state.events.append(id, fence, deltas(0, 3));
    await server.kill();
    await server.start(['--appendonly', 'yes']);
    expect((await appendInspite(store.state, id, fence, deltas(4, 5))).outcome).toBe('appended');
    await appendInspite(store.state, id, fence, [terminal(6)]);
    await eventually(() => viewer.state === 'ended');
    expect(numbers).toEqual(upTo(6));
    close();
  });

  it('fences turns and marks their viewers lost after a restart of Redis without its data', async () => {
    const { id, fence } = await created();
    const { numbers, viewer, close } = await follow(store.other, id);
    await store.state.events.append(id, fence, deltas(0, 3));
    await eventually(() => numbers.length === 4);
    await server.kill();
    await server.start();
    expect((await appendInspite(store.state, id, fence, deltas(4, 5))).outcome).toBe('fenced');
    await eventually(() => viewer.state === 'lost');
    expect(numbers).toEqual(upTo(3));
    close();
  });

  it('delivers events to viewers on the former owner of an adopted turn without waiting for a tail check', async () => {
    const { id, fence } = await created();
    const hub = new FollowHub({ events: store.state.events, tailCheckMs: 3_600_000 });
    const numbers: number[] = [];
    const opened: { viewer?: Viewer } = {};
    const viewer = await hub.open(id, -1, () => numbers.push(...numbersOf(opened.viewer?.take(100) ?? [])));
    if (viewer === undefined) throw new Error('no such log');
    opened.viewer = viewer;
    await store.state.events.append(id, fence, deltas(0, 2));
    // The former owner does not learn of its loss: it neither appends nor renews.
    let adopted: Awaited<ReturnType<State['lease']['adoptExpired']>> = [];
    await eventually(async () => (adopted = await store.other.lease.adoptExpired(1)).length > 0);
    for (let i = 3; i < 6; i++) await store.other.events.append(id, adopted[0]?.fence ?? 0, deltas(i, i));
    await store.other.events.append(id, adopted[0]?.fence ?? 0, [terminal(6)]);
    await eventually(() => viewer.state === 'ended');
    expect(numbers).toEqual(upTo(6));
    hub.close();
  });

  describe('the head of a queue', () => {
    it('evicts the head of a queue after one lease if it never created its log', async () => {
      const conversation = newId('conv');
      const startedAt = performance.now();
      await store.state.claim.join(conversation, newId('resp'), 4);
      const { id } = await created();
      await store.other.claim.join(conversation, id, 4);
      await store.other.claim.wait(conversation, id, NEVER);
      expect(performance.now() - startedAt).toBeGreaterThan(SHORT_TIMES.leaseMs * 0.9);
      expect(await store.state.claim.members(conversation)).toEqual([id]);
    });

    it('evicts the head of a queue whose turn ended without leaving, even if no turn may wait', async () => {
      const conversation = newId('conv');
      const dead = await created();
      await store.state.claim.join(conversation, dead.id, 0);
      await store.state.events.append(dead.id, dead.fence, [terminal(0)]);
      const { id } = await created();
      expect(await store.other.claim.join(conversation, id, 0)).toEqual({ first: true });
    });

    it('keeps the head of a queue while its turn runs', async () => {
      const conversation = newId('conv');
      const running = await created();
      await store.state.claim.join(conversation, running.id, 0);
      await expect(store.other.claim.join(conversation, newId('resp'), 0)).rejects.toMatchObject({
        code: 'conversation_busy',
      });
      const abort = new AbortController();
      const waiting = await created();
      await store.other.claim.join(conversation, waiting.id, 1);
      const waits = store.other.claim.wait(conversation, waiting.id, abort.signal);
      await store.pass(timing.claimPollMs * 3);
      abort.abort(new Error('enough'));
      await expect(waits).rejects.toThrow('enough');
    });
  });

  it('never renumbers the events after a missing one', async () => {
    const { id, fence } = await created();
    await store.state.events.append(id, fence, deltas(0, 9));
    await server.admin.xdel(new RedisKeys(store.keyPrefix).turn(id).log, '0-6');
    expect((await store.other.events.read(id, -1, 5))?.events).toEqual(deltas(0, 4));
    expect((await store.other.events.read(id, 5, 10))?.events).toEqual(deltas(6, 9));
    expect(await store.other.events.read(id, 9, 10)).toMatchObject({ events: [], last: 9 });
    for (const [after, limit] of [
      [-1, 10],
      [4, 1],
      [4, 10],
      [3, 2],
    ] as const) {
      expect([after, limit, await store.other.events.read(id, after, limit)]).toEqual([after, limit, undefined]);
    }
    expect(await store.other.events.read(id, -1, 0)).toMatchObject({ last: 9, ended: false });
    expect(hookCalls.calls.filter((word) => word === 'unreadable log')).toHaveLength(4);
    await server.admin.xdel(new RedisKeys(store.keyPrefix).turn(id).log, '0-10');
    expect(await store.other.events.read(id, 7, 10)).toBeUndefined();
  });

  it('holds no more keys than its table says, each with a time to live', async () => {
    const { id, fence } = await created({ conversationId: 'conv_1' });
    await store.state.events.append(id, fence, deltas(0, 2));
    await store.state.announcements.announce('conv_1', id);
    const conversation = { id: 'conv_1', owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} };
    await store.state.conversations.create(conversation, headOf().input);
    await store.state.conversations.appendItems('conv_1', headOf().input, id);
    await store.state.claim.join('conv_1', id, 2);
    await store.state.limiter.take({ key: 'b', capacity: 5, refillPerSecond: 1 }, 1);
    await store.state.keys.claim({ owner: 'o', key: 'k', fingerprint: 'f', responseId: id });
    // The store does not read the content of a response.
    await store.state.responses.put({ owner: 'o', response: { id } } as Parameters<State['responses']['put']>[0]);
    const names = await server.admin.keys('*');
    const kinds = names.map((name) =>
      name
        .slice(store.keyPrefix.length)
        .replace(/^\{.*\}:/, '')
        .replace(/:.*$/, ''),
    );
    expect(kinds.toSorted()).toEqual([
      'announced',
      'commits',
      'committed',
      'head',
      'items',
      'leases',
      'log',
      'meta',
      'once',
      'owner',
      'queue',
      'rate',
      'replicas',
      'response',
    ]);
    for (const name of names) expect([name, (await server.admin.pttl(name)) > 0]).toEqual([name, true]);
  });
});

describe('a start', () => {
  const options = {
    ttlMs: 1_000,
    maxItems: 5,
    timing: { startTimeoutMs: 400, commandTimeoutMs: 300, readyWaitMs: 100 },
  };

  it('takes a password from the URL or beside it, and ends at once with a wrong one', async () => {
    const server = await RedisServer.start({ settings: ['--requirepass', 'right'] });
    const { host, port } = server.address;
    const patient = { ...options, timing: { ...options.timing, startTimeoutMs: 60_000 } };
    for (const connection of [{ url: `redis://:right@${host}:${port}/2` }, { url: server.url, password: 'right' }]) {
      const state = await redisState({ ...connection, ...patient });
      await state.ping();
      await state.close();
    }
    for (const connection of [{ url: server.url, password: 'wrong' }, { url: server.url }]) {
      const failed = await redisState({ ...connection, ...patient }).catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: 'state_unavailable' });
      expect(String(failed)).toMatch(/does not accept the user or the password|asks for a password/);
      expect(String(failed)).not.toContain('wrong');
    }
    await server.close();
  });

  it('fails after startTimeoutMs if no server answers', async () => {
    const server = await RedisServer.start();
    const { url } = server;
    await server.close();
    await expect(redisState({ url, ...options })).rejects.toMatchObject({ code: 'state_unavailable' });
  });

  it('waits for a Redis that starts later', async () => {
    const server = await RedisServer.start();
    await server.kill();
    const opening = redisState({ url: server.url, ...options, timing: { ...options.timing, startTimeoutMs: 10_000 } });
    await server.start();
    const state = await opening;
    expect(state.isUp).toBe(true);
    await state.close();
    await server.close();
  });

  it('warns of a Redis that may drop keys, and keeps two databases apart', async () => {
    const server = await RedisServer.start({ settings: ['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'] });
    const hookCalls = new HookCalls();
    const first = await redisState({ url: server.url, db: 1, hooks: hookCalls.hooks, ...options });
    const second = await redisState({ url: server.url, db: 2, poolSize: 2, ...options });
    expect(hookCalls.calls.join()).toContain('allkeys-lru');
    await first.claim.join('conv_1', 'resp_1', 0);
    expect(await second.claim.members('conv_1')).toEqual([]);
    expect(((await server.admin.client('LIST')) as string).match(/name=sluice/g)).toHaveLength(7);
    await first.close();
    await second.close();
    await server.close();
  });

  it('reports a server that is part of a Cluster if the configuration has none', async () => {
    const server = await RedisServer.start({ cluster: true });
    const failed = await redisState({ url: server.url, ...options }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'state_unavailable' });
    await server.close();
  });
});
