/*
 * The bench: chooses scenarios and systems by name, runs them, prints a table for each and keeps
 * the numbers as JSON. `--write` also puts the tables into docs/performance.md, whose numbers come
 * from nowhere else.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describe, hardware } from './lib/hardware.js';
import { runScenario, type ScenarioResult } from './lib/run.js';
import { type Sample, type Scenario, SCENARIOS } from './lib/scenarios.js';
import { sluice, systemsOf } from './lib/systems.js';
import { tableOf } from './lib/table.js';

const HELP = `npm run bench -- [scenario …] [options]

scenarios  ${SCENARIOS.map(({ name }) => name).join(', ')} (default: all);
           guards: what guardrails cost a delta, in one process;
           long: whether long answers, conversations and resumes cost in proportion
options    --rounds N       rounds, interleaved over the systems; the median counts (5)
           --seconds N      length of a measured window (8)
           --warm N         seconds before it (3)
           --warm-up N      length of a first round that is not measured (15)
           --systems A,B    ${systemsOf('')
             .map(({ name }) => name)
             .join(', ')} (default: all)
           --dist DIR       where the gateway was built to (dist)
           --against DIR    measures another build of it in the same run, as "before" and "before-redis"
           --profile        keeps a CPU profile of each system's last window in bench/results/
           --write          puts the tables into docs/performance.md
           --no-build       measures dist/ as it is
`;

const RESULTS = 'bench/results';
const PAGE = 'docs/performance.md';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '8' },
      warm: { type: 'string', default: '3' },
      'warm-up': { type: 'string', default: '15' },
      systems: { type: 'string' },
      dist: { type: 'string', default: 'dist' },
      against: { type: 'string' },
      profile: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const scenarios = chosen(SCENARIOS, positionals, 'scenario');
  const known = systemsOf(values.dist);
  const all =
    values.against === undefined
      ? known
      : [
          ...known,
          sluice({ name: 'before', label: 'Sluice before, memory', dist: values.against }),
          sluice({ name: 'before-redis', label: 'Sluice before, Redis', dist: values.against, redis: true }),
        ];
  const systems = chosen(all, values.systems?.split(',') ?? [], 'system');
  mkdirSync(RESULTS, { recursive: true });
  for (const scenario of scenarios) {
    process.stdout.write(`\n${scenario.name}: ${scenario.title}\n`);
    const result = await runScenario(scenario, systems, {
      rounds: positive('rounds', values.rounds),
      windowSeconds: positive('seconds', values.seconds),
      warmSeconds: positive('warm', values.warm),
      warmUpSeconds: positive('warm-up', values['warm-up']),
      profile: values.profile ? join(RESULTS, scenario.name) : null,
      onSample: (round, system, sample) =>
        process.stdout.write(`  ${round + 1} ${system.name}: ${rendered(scenario, sample)}\n`),
    });
    report(scenario, result, values.write);
  }
}

function report(scenario: Scenario, result: ScenarioResult, write: boolean): void {
  const measuredOn = hardware();
  const table = tableOf(scenario, result);
  const at = new Date().toISOString();
  process.stdout.write(`\n${table}\n\nmedian of ${result.rounds} rounds; ${describe(measuredOn)}\n`);
  for (const name of result.skipped) process.stdout.write(`not measured, for want of a redis-server: ${name}\n`);
  const file = join(RESULTS, `${scenario.name}-${at.replaceAll(/[:.]/gu, '-')}.json`);
  writeFileSync(file, `${JSON.stringify({ at, hardware: measuredOn, ...result }, null, 2)}\n`);
  process.stdout.write(`${file}\n`);
  if (!write) return;
  const note = `${result.title}. Median of ${result.rounds} rounds, ${at.slice(0, 10)}, on ${describe(measuredOn)}.`;
  writeFileSync(PAGE, withSection(readFileSync(PAGE, 'utf8'), scenario.name, `${note}\n\n${table}`));
}

/** Returns the page with the text between a scenario's two marks replaced. */
function withSection(page: string, name: string, text: string): string {
  const [start, stop] = [`<!-- bench ${name} -->`, `<!-- end ${name} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(stop)];
  if (from < 0 || to < from) throw new Error(`unable to write ${PAGE}; it has no "${start}" … "${stop}"`);
  return `${page.slice(0, from + start.length)}\n\n${text}\n\n${page.slice(to)}`;
}

function rendered({ metrics }: Scenario, sample: Sample): string {
  const shown = [...metrics, { name: 'lateShare', title: 'provider late', digits: 3 }];
  return shown
    .flatMap(({ name, title, digits }) =>
      sample[name] === undefined ? [] : [`${title} ${sample[name].toFixed(digits)}`],
    )
    .join(', ');
}

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[],
  what: string,
): readonly T[] {
  for (const name of names) {
    if (!all.some((one) => one.name === name)) {
      throw new Error(`unable to find the ${what} "${name}"; there are ${all.map((one) => one.name).join(', ')}`);
    }
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`unable to use --${name} ${text}; it must be a number above 0`);
  return value;
}

// However it is ended, what it started ends too (processes.ts).
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
