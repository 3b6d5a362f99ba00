/*
 * Runs one scenario: every system in turn, round after round, so that what else the machine does
 * hits all alike; then the medians.
 */

import { loadavg } from 'node:os';
import { end } from './processes.js';
import { type RunOptions, type Sample, type Scenario } from './scenarios.js';
import { Stage } from './stage.js';
import { median } from './stats.js';
import { type RunningSystem, type System } from './systems.js';

interface SystemResult {
  readonly name: string;
  readonly label: string;
  readonly rounds: readonly Sample[];
  readonly median: Sample;
}

export interface ScenarioResult {
  readonly scenario: string;
  readonly title: string;
  readonly rounds: number;
  /** Load average of the machine, the bench included, before each round. */
  readonly loadBefore: readonly number[];
  readonly systems: readonly SystemResult[];
  readonly skipped: readonly string[];
}

export interface ScenarioPlan extends RunOptions {
  readonly rounds: number;
  /** Length of the first round, which is not measured. */
  readonly warmUpSeconds: number;
  readonly onSample: (round: number, system: System, sample: Sample) => void;
}

export async function runScenario(
  scenario: Scenario,
  systems: readonly System[],
  plan: ScenarioPlan,
): Promise<ScenarioResult> {
  const wanted = systems.filter((system) => system.speaks === scenario.speaks && scenario.suits(system));
  const stage = await Stage.open(wanted.some(({ needsRedis }) => needsRedis));
  const measured = wanted.filter(({ needsRedis }) => !needsRedis || stage.around.redisUrl !== null);
  const samples = new Map(measured.map((system) => [system, [] as Sample[]]));
  const started = new Map<System, RunningSystem>();
  const loadBefore: number[] = [];
  try {
    if (!scenario.freshProcess) await warmUp(scenario, measured, stage, started, plan);
    for (let round = 0; round < plan.rounds; round++) {
      loadBefore.push(Number((loadavg()[0] ?? 0).toFixed(2)));
      for (const system of measured) {
        const running = started.get(system) ?? (await system.start(stage.around));
        started.set(system, running);
        const sample = await scenario.run(stage, system, running, plan);
        samples.get(system)?.push(sample);
        plan.onSample(round, system, sample);
        if (scenario.freshProcess) {
          await Promise.all(running.children.map(end));
          started.delete(system);
        }
      }
    }
  } finally {
    await Promise.all([...started.values()].flatMap(({ children }) => children.map(end)));
    await stage.close();
  }
  return {
    scenario: scenario.name,
    title: scenario.title,
    rounds: plan.rounds,
    loadBefore,
    systems: [...samples].map(([{ name, label }, rounds]) => ({ name, label, rounds, median: medianOf(rounds) })),
    skipped: wanted.filter((system) => !measured.includes(system)).map(({ name }) => name),
  };
}

/**
 * A round that counts for nothing: an engine compiles what runs often, and a gateway in use has run
 * for long.
 */
async function warmUp(
  scenario: Scenario,
  systems: readonly System[],
  stage: Stage,
  started: Map<System, RunningSystem>,
  plan: ScenarioPlan,
): Promise<void> {
  for (const system of systems) {
    const running = await system.start(stage.around);
    started.set(system, running);
    await (scenario.warmUp ?? scenario).run(stage, system, running, {
      ...plan,
      warmSeconds: plan.warmUpSeconds,
      windowSeconds: 1,
      profile: null,
    });
  }
}

function medianOf(samples: readonly Sample[]): Sample {
  const names = new Set(samples.flatMap((sample) => Object.keys(sample)));
  return Object.fromEntries(
    [...names].map((name) => [name, median(samples.map((sample) => sample[name] ?? Number.NaN))]),
  );
}
