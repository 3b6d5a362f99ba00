/*
 * What a turn costs, apart from its deltas: short turns one after the other, turns of a
 * conversation, and many turns that start at once.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from './ipc.js';
import { type Metric, profileAll, type Sample, type Scenario } from './scenarios.js';
import { type Window } from './stage.js';
import { percentile } from './stats.js';
import { type System } from './systems.js';

const PER_SECOND = 50;

const FIRST_P50: Metric = { name: 'firstP50', title: 'first delta p50 ms', digits: 2, ratio: false };
const FIRST_P99: Metric = { name: 'firstP99', title: 'first delta p99 ms', digits: 2, ratio: true };

interface TurnsPlan {
  readonly name: string;
  readonly title: string;
  /** Turns at a time, each on its own connection. */
  readonly turns: number;
  readonly deltas: number;
  /**
   * Whether each connection has a conversation, in which its turns run. Only Sluice has
   * conversations.
   */
  readonly conversations: boolean;
}

/**
 * Turns one after the other on each connection; what the system used is divided by the turns that
 * ended.
 */
function turns({ name, title, turns: streams, deltas, conversations }: TurnsPlan): Scenario {
  return {
    name,
    title,
    metrics: [
      { name: 'cpuPerTurn', title: 'CPU ms a turn', digits: 3, ratio: true },
      FIRST_P50,
      FIRST_P99,
      { name: 'redisCpuPerTurn', title: 'Redis ms a turn', digits: 3, ratio: false },
      { name: 'commandsPerTurn', title: 'Redis commands a turn', digits: 2, ratio: false },
      { name: 'turnsPerSecond', title: 'turns a second', digits: 0, ratio: false },
    ],
    freshProcess: false,
    suits: ({ name: system, metrics }) => system !== 'direct' && (!conversations || metrics),
    run: async (stage, system, running, { warmSeconds, windowSeconds, profile }) => {
      const { children, targets } = running;
      await ask(stage.upstream, { ask: 'pace', perSecond: PER_SECOND });
      await ask(stage.load, { ask: 'streams', plan: { targets, streams, deltas, conversations } });
      await sleep(warmSeconds * 1_000);
      await profileAll(children, profile === null ? null : {});
      const seen = await stage.window(system, running, windowSeconds);
      await profileAll(children, profile === null ? null : { into: `${profile}-${system.name}` });
      await stage.quiet();
      refuseFailures(system, seen.tally);
      return { ...perTurn(seen), ...firstDeltas(seen.tally.firstDeltaMs) };
    },
  };
}

function perTurn({ cpuMicros, redisCpuMicros, redisCommands, seconds, tally }: Window): Sample {
  const { responses } = tally;
  return {
    ...(cpuMicros === null ? {} : { cpuPerTurn: cpuMicros / 1_000 / responses }),
    ...(redisCpuMicros === null ? {} : { redisCpuPerTurn: redisCpuMicros / 1_000 / responses }),
    ...(redisCommands === null ? {} : { commandsPerTurn: redisCommands / responses }),
    turnsPerSecond: responses / seconds,
  };
}

function refuseFailures({ name }: System, { failures, firstFailure }: Window['tally']): void {
  if (failures > 0) throw new Error(`${failures} turns of ${name} did not complete: ${firstFailure}`);
}

function firstDeltas(firstDeltaMs: readonly number[]): Sample {
  return { firstP50: percentile(firstDeltaMs, 0.5), firstP99: percentile(firstDeltaMs, 0.99) };
}

const SHORT_TURN_DELTAS = 5;
const TURNS_AT_A_TIME = 20;

const shortTurns = turns({
  name: 'short-turns',
  title: `Turns of ${SHORT_TURN_DELTAS} deltas at ${PER_SECOND} a second, ${TURNS_AT_A_TIME} at a time, one after the other`,
  turns: TURNS_AT_A_TIME,
  deltas: SHORT_TURN_DELTAS,
  conversations: false,
});

const conversationTurns = turns({
  name: 'conversation-turns',
  title: `Turns of one delta in ${TURNS_AT_A_TIME} conversations of at most 20 items, one after the other in each`,
  turns: TURNS_AT_A_TIME,
  deltas: 1,
  conversations: true,
});

const BURST_TURNS = 100;
const BURST_DELTAS = 10;
/** Of the time between two bursts. */
const BURST_PAUSE_MS = 200;

const burst: Scenario = {
  name: 'burst',
  title: `${BURST_TURNS} turns of ${BURST_DELTAS} deltas at ${PER_SECOND} a second that start at once`,
  metrics: [FIRST_P50, FIRST_P99, { name: 'bursts', title: 'bursts', digits: 0, ratio: false }],
  freshProcess: false,
  suits: () => true,
  run: async (stage, system, { children, targets }, { warmSeconds, windowSeconds, profile }) => {
    await ask(stage.upstream, { ask: 'pace', perSecond: PER_SECOND });
    const plan = { targets, streams: BURST_TURNS, deltas: BURST_DELTAS };
    const bursts = async (seconds: number): Promise<number> => {
      let count = 0;
      for (const endAt = performance.now() + seconds * 1_000; performance.now() < endAt; count += 1) {
        await ask(stage.load, { ask: 'burst', plan });
        await sleep(BURST_PAUSE_MS);
      }
      return count;
    };
    await bursts(warmSeconds);
    await ask(stage.load, { ask: 'reset' });
    await profileAll(children, profile === null ? null : {});
    const count = await bursts(windowSeconds);
    await profileAll(children, profile === null ? null : { into: `${profile}-${system.name}` });
    const tally = await ask(stage.load, { ask: 'tally' });
    await stage.quiet();
    refuseFailures(system, tally);
    return { ...firstDeltas(tally.firstDeltaMs), bursts: count };
  },
};

export const TURN_SCENARIOS: readonly Scenario[] = [shortTurns, conversationTurns, burst];
