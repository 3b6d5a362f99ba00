/*
 * What is measured: each scenario drives one system once and says what it saw. Rounds, order and
 * medians are run.ts's.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from './ipc.js';
import { noisyNeighbour } from './noisy-neighbour.js';
import { type Stage, type Window } from './stage.js';
import { percentile } from './stats.js';
import { type RunningSystem, type System } from './systems.js';
import { TURN_SCENARIOS } from './turn-scenarios.js';

/** By the names of `METRICS`; what a system does not have is left out. */
export type Sample = Readonly<Record<string, number>>;

export interface Metric {
  readonly name: string;
  readonly title: string;
  readonly digits: number;
  /** Whether a ratio to the floor says something. */
  readonly ratio: boolean;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /**
   * Restarted for every round, so that its memory at the start does not depend on earlier rounds.
   */
  readonly freshProcess: boolean;
  /** `chat`: for the systems that are measured over chat completions, and no others. */
  readonly speaks?: 'chat';
  suits(system: System): boolean;
  /**
   * What the round without measurements runs instead: one stream calls its code too rarely for an
   * engine to compile it before the window, and the window would measure the compiler.
   */
  readonly warmUp?: Scenario;
  run(stage: Stage, system: System, running: RunningSystem, options: RunOptions): Promise<Sample>;
}

export interface RunOptions {
  readonly warmSeconds: number;
  readonly windowSeconds: number;
  /** A CPU profile of each system's window goes into a file whose name begins so. */
  readonly profile: string | null;
}

const CPU_PER_DELTA: Metric = { name: 'cpuPerDelta', title: 'CPU µs a delta', digits: 1, ratio: true };
const WAITS_PER_DELTA: Metric = { name: 'waitsPerDelta', title: 'waits a delta', digits: 2, ratio: true };
const PACE: Metric = { name: 'pace', title: 'pace kept', digits: 2, ratio: false };
const LOAD: Metric = { name: 'cpuShare', title: 'cores used', digits: 2, ratio: false };

const PER_SECOND = 50;
/** Some 1,700 characters: below what the support pack lets an answer have. */
const DELTAS = 250;

/** `streams` responses at a time, each on a connection of its own. */
function streaming(streams: number, speaks?: 'chat'): Scenario {
  const title = `${streams} ${streams === 1 ? 'stream' : 'streams'} of ${PER_SECOND} deltas a second, responses of ${DELTAS} deltas one after the other`;
  return {
    name: `${speaks ?? 'cpu'}-${streams}`,
    title: speaks === 'chat' ? `${title}, chat completions over SSE` : title,
    ...(speaks === undefined ? {} : { speaks }),
    metrics: [
      CPU_PER_DELTA,
      WAITS_PER_DELTA,
      { name: 'addedP50', title: 'delay p50 ms', digits: 2, ratio: false },
      { name: 'addedP99', title: 'delay p99 ms', digits: 2, ratio: false },
      { name: 'firstP50', title: 'first delta p50 ms', digits: 2, ratio: false },
      { name: 'firstP99', title: 'first delta p99 ms', digits: 2, ratio: false },
      { name: 'eventsPerDelta', title: 'events a delta', digits: 2, ratio: false },
      { name: 'redisCpuPerDelta', title: 'Redis µs a delta', digits: 1, ratio: false },
      { name: 'commandsPerDelta', title: 'Redis commands a delta', digits: 3, ratio: false },
      LOAD,
      PACE,
      { name: 'failed', title: 'failed responses', digits: 0, ratio: false },
    ],
    freshProcess: false,
    suits: () => true,
    run: async (stage, system, running, { warmSeconds, windowSeconds, profile }) => {
      const { children, targets } = running;
      await ask(stage.upstream, { ask: 'pace', perSecond: PER_SECOND });
      await ask(stage.load, { ask: 'streams', plan: { targets, streams, deltas: DELTAS } });
      await sleep(warmSeconds * 1_000);
      await profileAll(children, profile === null ? null : {});
      const seen = await stage.window(system, running, windowSeconds);
      await profileAll(children, profile === null ? null : { into: `${profile}-${system.name}` });
      await stage.quiet();
      // A peer may lose a response; the table says how many.
      if (seen.tally.failures > 0 && speaks === undefined)
        throw new Error(`${seen.tally.failures} responses of ${system.name} did not complete`);
      return {
        ...perDelta(seen),
        ...delays(seen),
        eventsPerDelta: seen.tally.events / seen.tally.deltas,
        pace: seen.tally.deltas / (streams * PER_SECOND * seen.seconds),
        ...(speaks === undefined ? {} : { failed: seen.tally.failures }),
      };
    },
  };
}

/** What one process holds is the question of the memory scenarios. */
const TWO_REPLICAS = 'sluice-redis-2';
const IDLE_CONNECTIONS = 5_000;

const idle: Scenario = {
  name: 'idle',
  title: `${IDLE_CONNECTIONS.toLocaleString('en')} idle connections, after garbage collection`,
  metrics: [
    { name: 'heapKb', title: 'heap KB a connection', digits: 2, ratio: true },
    { name: 'rssKb', title: 'RSS KB a connection', digits: 2, ratio: true },
  ],
  freshProcess: true,
  suits: ({ name, sockets }) => sockets && name !== TWO_REPLICAS,
  run: async (stage, _system, { children: [child], targets }) => {
    if (child === undefined) return {};
    // Opened once before, so that what is loaded with the first connection is not counted.
    await ask(stage.load, { ask: 'idle', targets, connections: 200 });
    await stage.quiet();
    await sleep(500);
    const before = await ask(child, { ask: 'memory' });
    await ask(stage.load, { ask: 'idle', targets, connections: IDLE_CONNECTIONS });
    await sleep(2_000);
    const after = await ask(child, { ask: 'memory' });
    await stage.quiet();
    return {
      heapKb: (after.heap - before.heap) / 1_024 / IDLE_CONNECTIONS,
      rssKb: (after.rss - before.rss) / 1_024 / IDLE_CONNECTIONS,
    };
  },
};

const STREAMING_VIEWERS = 500;
const STREAMING_PER_SECOND = 10;

/**
 * On its own: to collect garbage makes an engine forget what it had optimized, which no CPU figure
 * should suffer from.
 */
const viewers: Scenario = {
  name: 'viewers',
  title: `${STREAMING_VIEWERS} viewers, each with a running response of its own, after garbage collection`,
  metrics: [
    { name: 'heapKb', title: 'heap KB a viewer', digits: 1, ratio: true },
    { name: 'rssKb', title: 'RSS KB a viewer', digits: 1, ratio: true },
  ],
  freshProcess: true,
  suits: ({ name }) => name !== 'direct' && name !== TWO_REPLICAS,
  run: async (stage, _system, { children: [child], targets }) => {
    if (child === undefined) return {};
    await ask(stage.upstream, { ask: 'pace', perSecond: STREAMING_PER_SECOND });
    const streamsOf = (streams: number): Promise<null> =>
      ask(stage.load, { ask: 'streams', plan: { targets, streams, deltas: DELTAS } });
    await streamsOf(20);
    await stage.quiet();
    const before = await ask(child, { ask: 'memory' });
    await streamsOf(STREAMING_VIEWERS);
    await sleep(2_000);
    const during = await ask(child, { ask: 'memory' });
    await stage.quiet();
    return {
      heapKb: (during.heap - before.heap) / 1_024 / STREAMING_VIEWERS,
      rssKb: (during.rss - before.rss) / 1_024 / STREAMING_VIEWERS,
    };
  },
};

const SCALE_SOCKETS = 10_000;
const SCALE_STREAMS = 1_000;

const scale: Scenario = {
  name: 'scale',
  title: `${SCALE_SOCKETS.toLocaleString('en')} sockets, ${SCALE_STREAMS.toLocaleString('en')} of them with a stream of ${STREAMING_PER_SECOND} deltas a second`,
  metrics: [
    { name: 'rssKb', title: 'RSS KB a socket', digits: 2, ratio: true },
    { name: 'heapKb', title: 'heap KB a socket', digits: 2, ratio: true },
    CPU_PER_DELTA,
    { name: 'addedP50', title: 'delay p50 ms', digits: 2, ratio: false },
    { name: 'addedP99', title: 'delay p99 ms', digits: 2, ratio: false },
    LOAD,
    PACE,
  ],
  freshProcess: true,
  suits: ({ name, sockets }) => sockets && name !== TWO_REPLICAS,
  run: async (stage, system, running, { warmSeconds, windowSeconds, profile }) => {
    const { children, targets } = running;
    const [child] = children;
    if (child === undefined) return {};
    const before = await ask(child, { ask: 'memory' });
    await ask(stage.load, { ask: 'idle', targets, connections: SCALE_SOCKETS });
    await ask(stage.upstream, { ask: 'pace', perSecond: STREAMING_PER_SECOND });
    await ask(stage.load, { ask: 'streams', plan: { targets, streams: SCALE_STREAMS, deltas: DELTAS } });
    await sleep(warmSeconds * 1_000);
    await profileAll(children, profile === null ? null : {});
    const seen = await stage.window(system, running, windowSeconds);
    await profileAll(children, profile === null ? null : { into: `${profile}-${system.name}` });
    const during = await ask(child, { ask: 'memory' });
    await stage.quiet();
    if (seen.tally.failures > 0) throw new Error(`${seen.tally.failures} responses of ${system.name} did not complete`);
    return {
      rssKb: (during.rss - before.rss) / 1_024 / SCALE_SOCKETS,
      heapKb: (during.heap - before.heap) / 1_024 / SCALE_SOCKETS,
      ...perDelta(seen),
      ...delays(seen),
      pace: seen.tally.deltas / (SCALE_STREAMS * STREAMING_PER_SECOND * seen.seconds),
    };
  },
};

const VIEWERS = 1_000;
const FANOUT_PER_SECOND = 20;

const fanout: Scenario = {
  name: 'fanout',
  title: `one response of ${FANOUT_PER_SECOND} deltas a second, watched by ${VIEWERS.toLocaleString('en')} viewers`,
  metrics: [
    { name: 'cpuPerDelivery', title: 'CPU µs a delta and viewer', digits: 2, ratio: true },
    { name: 'addedP50', title: 'delay p50 ms', digits: 2, ratio: false },
    { name: 'addedP99', title: 'delay p99 ms', digits: 2, ratio: false },
    LOAD,
    PACE,
  ],
  freshProcess: false,
  suits: ({ name }) => name !== 'direct',
  run: async (stage, system, running, { warmSeconds, windowSeconds, profile }) => {
    const { children, targets } = running;
    await ask(stage.upstream, { ask: 'pace', perSecond: FANOUT_PER_SECOND });
    const deltas = FANOUT_PER_SECOND * (warmSeconds + windowSeconds + 20);
    await ask(stage.load, { ask: 'fanout', targets, viewers: VIEWERS, deltas });
    await sleep(warmSeconds * 1_000);
    await profileAll(children, profile === null ? null : {});
    const seen = await stage.window(system, running, windowSeconds);
    await profileAll(children, profile === null ? null : { into: `${profile}-${system.name}` });
    await stage.quiet();
    if (seen.tally.failures > 0) throw new Error(`${seen.tally.failures} viewers of ${system.name} were cut off`);
    return {
      cpuPerDelivery: (seen.cpuMicros ?? Number.NaN) / seen.tally.deltas,
      ...delays(seen),
      cpuShare: (seen.cpuMicros ?? 0) / 1e6 / seen.seconds,
      pace: seen.tally.deltas / (VIEWERS * FANOUT_PER_SECOND * seen.seconds),
    };
  },
};

/** Begins a profile in each process, or ends it into files. */
export async function profileAll(
  children: RunningSystem['children'],
  how: { readonly into?: string } | null,
): Promise<void> {
  if (how === null) return;
  await Promise.all(
    children.map((child, i) =>
      ask(child, { ask: 'profile', file: how.into === undefined ? null : `${how.into}-${i + 1}.cpuprofile` }),
    ),
  );
}

function perDelta({ cpuMicros, waits, redisCpuMicros, redisCommands, provided, seconds }: Window): Sample {
  return {
    ...(cpuMicros === null ? {} : { cpuPerDelta: cpuMicros / provided, cpuShare: cpuMicros / 1e6 / seconds }),
    ...(waits === null ? {} : { waitsPerDelta: waits / provided }),
    ...(redisCpuMicros === null ? {} : { redisCpuPerDelta: redisCpuMicros / provided }),
    ...(redisCommands === null ? {} : { commandsPerDelta: redisCommands / provided }),
  };
}

function delays({ tally, provided, providedLate }: Window): Sample {
  const { latencyMs, firstDeltaMs } = tally;
  return {
    ...(latencyMs.length === 0 ? {} : { addedP50: percentile(latencyMs, 0.5), addedP99: percentile(latencyMs, 0.99) }),
    ...(firstDeltaMs.length === 0
      ? {}
      : { firstP50: percentile(firstDeltaMs, 0.5), firstP99: percentile(firstDeltaMs, 0.99) }),
    lateShare: providedLate / provided,
  };
}

export const SCENARIOS: readonly Scenario[] = [
  { ...streaming(1), warmUp: streaming(100) },
  streaming(100),
  streaming(200),
  streaming(500),
  streaming(100, 'chat'),
  ...TURN_SCENARIOS,
  idle,
  viewers,
  scale,
  fanout,
  noisyNeighbour,
];
