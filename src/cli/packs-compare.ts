/*
 * `sluice packs compare`: two versions of a prompt side by side, from the metrics of the replicas,
 * each figure with its count and its 95 % interval.
 */

import { readFile } from 'node:fs/promises';
import { errorCode } from '../domain/errors.js';
import { type CliContext } from './context.js';

/** Quantile of the normal distribution for a two-sided interval of 95 %. */
const Z = 1.96;
const WAIT_MS = 10_000;

interface Sample {
  /** The name without the application's prefix. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface CompareOptions {
  /** URLs or files of metrics, one a replica. */
  readonly metrics: readonly string[];
  readonly source: 'live' | 'shadow' | undefined;
  readonly json: boolean;
}

interface Figure {
  readonly value: number | null;
  /** The bounds of the 95 % interval. Null: too few turns. */
  readonly interval: readonly [number, number] | null;
  /** The turns that the figure is made of. */
  readonly count: number;
}

interface VersionFigures {
  readonly version: string;
  readonly turns: number;
  readonly completed: Figure;
  readonly failed: Figure;
  readonly blocked: Figure;
  readonly findings_per_turn: Figure;
  readonly first_delta_p50_seconds: Figure;
  readonly first_delta_p95_seconds: Figure;
  readonly cost_mean_usd: Figure;
}

/** @returns 0, or 1 if the metrics cannot be read or know no such version */
export async function comparePacks(
  prompt: string,
  versions: readonly string[],
  options: CompareOptions,
  { print, complain }: CliContext,
): Promise<number> {
  let samples: readonly Sample[];
  try {
    samples = (await Promise.all(options.metrics.map(readMetrics))).flatMap(samplesIn);
  } catch (error) {
    complain(`unable to read the metrics; ${errorCode(error) ?? String(error)}`);
    return 1;
  }
  const own = samples.filter(
    ({ labels }) => labels['prompt'] === prompt && labels['source'] === (options.source ?? labels['source']),
  );
  const known = [...new Set(own.map(({ labels }) => labels['version'] ?? ''))];
  const chosen = versions.length > 0 ? versions : known;
  const unknown = chosen.filter((version) => !known.includes(version));
  if (chosen.length === 0 || unknown.length > 0) {
    const what = unknown.length > 0 ? `no turns of version ${unknown.join(', ')}` : 'no turns';
    complain(`unable to compare ${prompt}; the metrics have ${what}; known are ${known.join(', ') || 'none'}`);
    return 1;
  }
  const figures = chosen.map((version) =>
    figuresOf(
      version,
      own.filter(({ labels }) => labels['version'] === version),
    ),
  );
  if (options.json) print(JSON.stringify({ prompt, versions: figures }, null, 2));
  else for (const line of tableOf(prompt, figures)) print(line);
  return 0;
}

async function readMetrics(place: string): Promise<string> {
  if (!/^https?:/.test(place)) return readFile(place, 'utf8');
  const answer = await fetch(place, { signal: AbortSignal.timeout(WAIT_MS) });
  if (!answer.ok) throw new Error(`${place} answered ${answer.status}`);
  return answer.text();
}

const LINE = /^\w*?(prompt_\w+)\{(.*)\} (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Reads the metrics of prompts in Prometheus' text format. */
function samplesIn(text: string): readonly Sample[] {
  return text.split('\n').flatMap((line) => {
    const found = LINE.exec(line);
    if (found === null) return [];
    const [, name = '', labels = '', value = ''] = found;
    const pairs = [...labels.matchAll(LABEL)].map(([, key = '', text = '']) => [key, text] as const);
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

function figuresOf(version: string, samples: readonly Sample[]): VersionFigures {
  const sum = (name: string, label = '', value = ''): number =>
    samples
      .filter((sample) => sample.name === name && (label === '' || sample.labels[label] === value))
      .reduce((total, sample) => total + sample.value, 0);
  const turns = sum('prompt_turns_total');
  const share = (outcome: string): Figure => wilson(sum('prompt_turns_total', 'outcome', outcome), turns);
  const latency = histogramOf(samples, 'prompt_first_delta_seconds');
  const cost = histogramOf(samples, 'prompt_cost_usd');
  return {
    version,
    turns,
    completed: share('completed'),
    failed: share('failed'),
    blocked: share('blocked'),
    findings_per_turn: poisson(sum('prompt_findings_total'), turns),
    first_delta_p50_seconds: quantile(latency, 0.5),
    first_delta_p95_seconds: quantile(latency, 0.95),
    cost_mean_usd: mean(cost, sum('prompt_cost_usd_sum')),
  };
}

/** Bounds and cumulative counts, without the infinite bound, and the count of all. */
interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly total: number;
}

function histogramOf(samples: readonly Sample[], name: string): Histogram {
  const counts = new Map<number, number>();
  for (const { name: own, labels, value } of samples) {
    if (own !== `${name}_bucket`) continue;
    const bound = labels['le'] === '+Inf' ? Infinity : Number(labels['le']);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  const sorted = [...counts].sort(([a], [b]) => a - b);
  const finite = sorted.filter(([bound]) => bound < Infinity);
  return {
    bounds: finite.map(([bound]) => bound),
    counts: finite.map(([, count]) => count),
    total: sorted.at(-1)?.[1] ?? 0,
  };
}

/** Wilson's interval of a share. */
export function wilson(hits: number, count: number): Figure {
  if (count === 0) return { value: null, interval: null, count };
  const share = hits / count;
  const middle = share + (Z * Z) / (2 * count);
  const spread = Z * Math.sqrt((share * (1 - share)) / count + (Z * Z) / (4 * count * count));
  const scale = 1 + (Z * Z) / count;
  const bounds = [
    Math.max(0, Math.min(share, (middle - spread) / scale)),
    Math.min(1, Math.max(share, (middle + spread) / scale)),
  ] as const;
  return { value: share, interval: bounds, count };
}

/** The normal approximation for a rate of events, which may exceed one a turn. */
function poisson(events: number, count: number): Figure {
  if (count === 0) return { value: null, interval: null, count };
  const spread = Z * Math.sqrt(Math.max(events, 1));
  return { value: events / count, interval: [Math.max(0, events - spread) / count, (events + spread) / count], count };
}

/** A quantile within the buckets, and the quantiles at the bounds of its rank. */
function quantile(histogram: Histogram, q: number): Figure {
  const { total } = histogram;
  if (total === 0) return { value: null, interval: null, count: 0 };
  const spread = Z * Math.sqrt(total * q * (1 - q));
  const at = (rank: number): number => valueAt(histogram, Math.min(total, Math.max(0, rank)));
  return { value: at(total * q), interval: [at(total * q - spread), at(total * q + spread)], count: total };
}

/** Interpolates in the bucket of a rank. Beyond the last bound it is that bound. */
function valueAt({ bounds, counts }: Histogram, rank: number): number {
  const i = counts.findIndex((count) => count >= rank);
  if (i < 0) return bounds.at(-1) ?? 0;
  const [from, below] = [bounds[i - 1] ?? 0, counts[i - 1] ?? 0];
  const [to, upTo] = [bounds[i] ?? from, counts[i] ?? below];
  return upTo === below ? from : from + ((to - from) * (rank - below)) / (upTo - below);
}

/** The exact mean. Its interval takes the variance from the middles of the buckets. */
function mean({ bounds, counts, total }: Histogram, sum: number): Figure {
  if (total === 0) return { value: null, interval: null, count: 0 };
  const value = sum / total;
  const last = bounds.at(-1) ?? 0;
  let squares = (total - (counts.at(-1) ?? 0)) * (last - value) ** 2;
  bounds.forEach((bound, i) => {
    const middle = (bound + (bounds[i - 1] ?? 0)) / 2;
    squares += ((counts[i] ?? 0) - (counts[i - 1] ?? 0)) * (middle - value) ** 2;
  });
  if (total < 2) return { value, interval: null, count: total };
  const spread = (Z * Math.sqrt(squares / (total - 1))) / Math.sqrt(total);
  return { value, interval: [Math.max(0, value - spread), value + spread], count: total };
}

const ROWS = [
  ['completed', 'completed', percent],
  ['failed', 'failed', percent],
  ['blocked', 'stopped by a guardrail', percent],
  ['findings_per_turn', 'findings per turn', plain],
  ['first_delta_p50_seconds', 'first delta, p50', seconds],
  ['first_delta_p95_seconds', 'first delta, p95', seconds],
  ['cost_mean_usd', 'cost per turn', dollars],
] as const;

function tableOf(prompt: string, figures: readonly VersionFigures[]): string[] {
  const rows = [
    [prompt, ...figures.map(({ version, turns }) => `${version} (${turns} turns)`)],
    ...ROWS.map(([key, label, format]) => [label, ...figures.map((figure) => cell(figure[key], format))]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return [
    ...rows.map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    ),
    'In brackets: the 95 % interval. n: the turns that the figure is made of.',
  ];
}

function cell({ value, interval, count }: Figure, format: (value: number) => string): string {
  if (value === null) return `- n=${count}`;
  const bounds = interval === null ? '' : ` [${format(interval[0])}, ${format(interval[1])}]`;
  return `${format(value)}${bounds} n=${count}`;
}

function percent(value: number): string {
  return `${(value * 100).toFixed(1)} %`;
}
function plain(value: number): string {
  return value.toFixed(3);
}
function seconds(value: number): string {
  return `${value.toFixed(3)} s`;
}
function dollars(value: number): string {
  return `$${value.toFixed(5)}`;
}
