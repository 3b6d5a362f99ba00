/*
 * The scenario of the noisy neighbour: honest streams, measured first alone and then beside one
 * client that sends hostile frames of every kind. Compares the delay of a delta, the answer of
 * /health and the memory held.
 */

import { type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Annoyance, ask } from './ipc.js';
import { end, startNode } from './processes.js';
import { type Metric, type Sample, type Scenario } from './scenarios.js';
import { percentile } from './stats.js';

const STREAMS = 100;
const DELTAS_PER_SECOND = 50;
const DELTAS = 250;
/** Hostile frames of each kind. */
const FRAMES_PER_SECOND = 1_000;
const LOOK_EVERY_MS = 50;
const MIB = 1_048_576;

const number = (name: string, title: string, digits: number): Metric => ({ name, title, digits, ratio: false });

/** What a process answers and holds during a window. */
interface Health {
  readonly healthMs: readonly number[];
  readonly rssMax: number;
  readonly heapMax: number;
}

export const noisyNeighbour: Scenario = {
  name: 'noisy-neighbour',
  title: `${STREAMS} streams of ${DELTAS_PER_SECOND} deltas a second, alone and beside a client that sends ${FRAMES_PER_SECOND.toLocaleString('en')} hostile frames a second of each kind`,
  metrics: [
    number('quietP50', 'delay p50 ms, alone', 2),
    number('noisyP50', 'delay p50 ms, beside', 2),
    number('quietP99', 'delay p99 ms, alone', 2),
    number('noisyP99', 'delay p99 ms, beside', 2),
    number('p99Ratio', 'p99 beside / alone (at most 1.20)', 2),
    number('quietHealthMax', '/health max ms, alone', 1),
    number('noisyHealthMax', '/health max ms, beside (at most 100)', 1),
    number('quietRss', 'RSS MiB, alone', 0),
    number('noisyRss', 'RSS MiB, beside', 0),
    number('rssRatio', 'RSS beside / alone (at most 1.50)', 2),
    number('quietHeap', 'heap MiB, alone', 0),
    number('noisyHeap', 'heap MiB, beside', 0),
    number('heapRatio', 'heap beside / alone (at most 1.50)', 2),
    number('hostileSent', 'hostile frames sent', 0),
    number('hostileHeldBack', 'held back', 0),
    number('hostileAnswered', 'answered', 0),
    number('hostileClosed', 'closed', 0),
  ],
  // What a process holds must not depend on the rounds before.
  freshProcess: true,
  suits: ({ name }) => name === 'sluice' || name === 'sluice-redis' || name === 'before',
  run: async (stage, system, running, { warmSeconds, windowSeconds }) => {
    const { children, targets, metricsUrls } = running;
    const [[child], [target], [metricsUrl]] = [children, targets, metricsUrls ?? []];
    if (child === undefined || target === undefined || metricsUrl === undefined) return {};
    const healthUrl = new URL('/health', metricsUrl).href;
    const neighbour = startNode('neighbour');
    try {
      await ask(stage.upstream, { ask: 'pace', perSecond: DELTAS_PER_SECOND });
      await ask(stage.load, { ask: 'streams', plan: { targets, streams: STREAMS, deltas: DELTAS } });
      await sleep(warmSeconds * 1_000);
      const [quiet, quietHealth] = await Promise.all([
        stage.window(system, running, windowSeconds),
        watch(child, healthUrl, windowSeconds),
      ]);
      const plan = { url: target.url, perSecond: FRAMES_PER_SECOND, seconds: warmSeconds + windowSeconds + 1 };
      await ask(neighbour, { ask: 'annoy', plan });
      await sleep(warmSeconds * 1_000);
      const [noisy, noisyHealth] = await Promise.all([
        stage.window(system, running, windowSeconds),
        watch(child, healthUrl, windowSeconds),
      ]);
      const annoyance = await ask(neighbour, { ask: 'annoyance' });
      await ask(neighbour, { ask: 'stop' });
      await stage.quiet();
      const failures = quiet.tally.failures + noisy.tally.failures;
      if (failures > 0) throw new Error(`${failures} honest responses of ${system.name} did not complete`);
      process.stdout.write(`${details(annoyance)}\n`);
      return {
        ...compare('P50', percentile(quiet.tally.latencyMs, 0.5), percentile(noisy.tally.latencyMs, 0.5)),
        ...compare('P99', percentile(quiet.tally.latencyMs, 0.99), percentile(noisy.tally.latencyMs, 0.99)),
        ...compare('HealthMax', Math.max(...quietHealth.healthMs), Math.max(...noisyHealth.healthMs)),
        ...compare('Rss', quietHealth.rssMax / MIB, noisyHealth.rssMax / MIB),
        ...compare('Heap', quietHealth.heapMax / MIB, noisyHealth.heapMax / MIB),
        hostileSent: sum(annoyance.sent),
        hostileHeldBack: sum(annoyance.heldBack),
        hostileAnswered: sum(annoyance.answered),
        hostileClosed: sum(annoyance.closed),
        lateShare: noisy.providedLate / noisy.provided,
      };
    } finally {
      await end(neighbour);
    }
  },
};

function compare(name: string, quiet: number, noisy: number): Sample {
  const ratio = `${name.charAt(0).toLowerCase()}${name.slice(1)}Ratio`;
  return { [`quiet${name}`]: quiet, [`noisy${name}`]: noisy, [ratio]: noisy / quiet };
}

/**
 * Requests /health and the memory of a process again and again. A request that fails counts as the
 * time until then.
 */
async function watch(child: ChildProcess, healthUrl: string, seconds: number): Promise<Health> {
  const healthMs: number[] = [];
  let [rssMax, heapMax] = [0, 0];
  for (const until = performance.now() + seconds * 1_000; performance.now() < until; await sleep(LOOK_EVERY_MS)) {
    const startedAt = performance.now();
    await fetch(healthUrl, { signal: AbortSignal.timeout(10_000) }).then(
      (answer) => answer.arrayBuffer(),
      () => undefined,
    );
    healthMs.push(performance.now() - startedAt);
    const { rss, heap } = await ask(child, { ask: 'held' });
    rssMax = Math.max(rssMax, rss);
    heapMax = Math.max(heapMax, heap);
  }
  return { healthMs, rssMax, heapMax };
}

function details(annoyance: Annoyance): string {
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none';
  return Object.entries(annoyance)
    .map(([what, counts]) => `    hostile frames ${what}: ${list(counts)}`)
    .join('\n');
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
