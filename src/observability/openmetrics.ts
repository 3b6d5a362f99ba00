/*
 * Writes the metrics of a registry in OpenMetrics 1.0, with exemplars. prom-client's own writer
 * renames the counters of its registry, and its exemplars require it, so one registry could not
 * serve both formats.
 */

import { type Registry } from 'prom-client';

export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

type Labels = Readonly<Record<string, string | number>>;

interface Sample {
  readonly metricName?: string;
  readonly labels: Labels;
  readonly value: number;
}

interface Exemplar {
  readonly traceId: string;
  readonly value: number;
  readonly seconds: number;
}

/**
 * The newest observation with a trace, for each bucket of each histogram. Bounded by the series of
 * the histograms.
 */
export class Exemplars {
  readonly #ofBucket = new Map<string, Exemplar>();

  /** @param buckets upper bounds of the histogram, in ascending order */
  add(metric: string, buckets: readonly number[], labels: Labels, value: number, traceId: string): void {
    const le = buckets.find((bound) => value <= bound) ?? '+Inf';
    this.#ofBucket.set(keyOf(`${metric}_bucket`, { ...labels, le }), { traceId, value, seconds: Date.now() / 1_000 });
  }

  /** Returns the exemplar of a sample in the form that ends its line, or an empty text. */
  after(sample: string, labels: Labels): string {
    if (!('le' in labels)) return '';
    const found = this.#ofBucket.get(keyOf(sample, labels));
    if (found === undefined) return '';
    return ` # ${labelsOf({ trace_id: found.traceId })} ${numberOf(found.value)} ${found.seconds}`;
  }
}

function keyOf(sample: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => [name, String(value)] as const);
  return JSON.stringify([sample, pairs.toSorted(([one], [other]) => (one < other ? -1 : 1))]);
}

const TOTAL = '_total';

export async function openMetrics(registry: Registry, exemplars: Exemplars): Promise<string> {
  const families = await registry.getMetricsAsJSON();
  const lines = families.flatMap(({ name, help, type, values }) => {
    const counter = String(type) === 'counter';
    // The format requires `_total` for counters. Another counter keeps its name and has no type.
    const family = counter && name.endsWith(TOTAL) ? name.slice(0, -TOTAL.length) : name;
    const known = counter && family === name ? 'unknown' : type;
    return [
      `# TYPE ${family} ${known}`,
      `# HELP ${family} ${escaped(help)}`,
      // prom-client's types omit the name of a sample.
      ...(values as readonly Sample[]).map(
        ({ metricName = name, labels, value }) =>
          `${metricName}${labelsOf(labels)} ${numberOf(value)}${exemplars.after(metricName, labels)}`,
      ),
    ];
  });
  return [...lines, '# EOF', ''].join('\n');
}

/**
 * Whether an `Accept` header asks for OpenMetrics at least as much as for plain text, as Prometheus
 * does.
 */
export function acceptsOpenMetrics(accept: string | undefined): boolean {
  const wanted = weightOf(accept, 'application/openmetrics-text');
  return wanted > 0 && wanted >= weightOf(accept, 'text/plain');
}

/** Returns the highest weight of a media type, from 0 to 1. Absent: 0. */
function weightOf(accept = '', type: string): number {
  const weights = accept
    .split(',')
    .map((range) => range.split(';').map((part) => part.trim().toLowerCase()))
    .filter(([name, ...parameters]) => name === type && !parameters.some(isOtherVersion))
    .map(([, ...parameters]) => Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? 1));
  return Math.max(0, ...weights.filter((weight) => weight <= 1));
}

/** Whether a parameter asks for a version of OpenMetrics that is not written here. */
function isOtherVersion(parameter: string): boolean {
  return parameter.startsWith('version=') && !/^version="?1\.0\.0"?$/.test(parameter);
}

function labelsOf(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

function numberOf(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
