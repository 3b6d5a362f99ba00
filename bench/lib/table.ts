/* A scenario's result as a table in Markdown, which reads well in a terminal too. */

import { type ScenarioResult } from './run.js';
import { type Metric, type Scenario } from './scenarios.js';

const FLOORS = new Set(['floor', 'floor-sse']);

/**
 * One line a system, each number followed by its ratio to the floor's where that says something.
 */
export function tableOf({ metrics }: Scenario, { systems }: ScenarioResult): string {
  const shown = metrics.filter(({ name }) => systems.some(({ median }) => median[name] !== undefined));
  const floor = systems.find(({ name }) => FLOORS.has(name))?.median;
  const cell = ({ name, digits, ratio }: Metric, median: Readonly<Record<string, number>>): string => {
    const value = median[name];
    if (value === undefined) return '–';
    const base = floor?.[name];
    return ratio && base !== undefined
      ? `${value.toFixed(digits)} (${(value / base).toFixed(2)}×)`
      : value.toFixed(digits);
  };
  const rows = [
    ['', ...shown.map(({ title }) => title)],
    ...systems.map(({ label, median }) => [label, ...shown.map((metric) => cell(metric, median))]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const [head, ...body] = rows.map(line);
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [head, rule, ...body].join('\n');
}
