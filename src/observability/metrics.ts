/*
 * The metrics of one process: creates the instruments of the table and renders them. No other code
 * knows prom-client.
 */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Exemplars, OPENMETRICS_TYPE, openMetrics } from './openmetrics.js';
import { LABEL_VALUES_MAX, METRICS, type MetricName } from './metric-table.js';

type Table = typeof METRICS;
type LabelValue<V> = V extends readonly (infer Value)[] ? Value : string | number;
/** Arguments of an instrument: none without labels, otherwise all labels. */
type LabelsOf<Row> = Row extends { readonly labels: infer L }
  ? { readonly [K in keyof L]: LabelValue<L[K]> }
  : undefined;
type Arguments<Labels, Rest extends readonly unknown[]> = Labels extends undefined
  ? Rest
  : [labels: Labels, ...rest: Rest];

interface Counting<Labels> {
  inc(...args: Arguments<Labels, [by?: number]>): void;
}
interface Gauging<Labels> extends Counting<Labels> {
  dec(...args: Arguments<Labels, [by?: number]>): void;
  set(...args: Arguments<Labels, [value: number]>): void;
}
interface Observing<Labels> {
  /**
   * Records a duration in seconds.
   * @param traceId the trace of an example, for metrics with exemplars
   */
  observe(...args: Arguments<Labels, [value: number, traceId?: string | null]>): void;
}
type InstrumentOf<Row> = Row extends { readonly kind: 'counter' }
  ? Counting<LabelsOf<Row>>
  : Row extends { readonly kind: 'gauge' }
    ? Gauging<LabelsOf<Row>>
    : Observing<LabelsOf<Row>>;
export type MetricsFormat = 'text' | 'openmetrics';
type Instruments = { readonly [Name in MetricName]: InstrumentOf<Table[Name]> };

/** Returns the prefix of all metrics of a deployment: `support-bot` → `support_bot_`. */
export function metricPrefix(appName: string): string {
  return `${appName.replaceAll('-', '_')}_`;
}

export interface MetricsOptions {
  readonly prefix: string;
  /** Version of the software. */
  readonly version: string;
  readonly revision?: string;
  /** Version of the deployment: `app.version`. */
  readonly deployment?: string;
  /** Registry of the instruments. Default: a new one. */
  readonly registry?: Registry;
}

/** `metrics.of.requests_total.inc({ status: 'success' })`. */
export class Metrics {
  readonly prefix: string;
  readonly registry: Registry;
  readonly of: Instruments;
  readonly #exemplars = new Exemplars();

  constructor({ prefix, version, revision = 'unknown', deployment = '', registry = new Registry() }: MetricsOptions) {
    this.prefix = prefix;
    this.registry = registry;
    const made = Object.entries(METRICS).map(
      ([name, row]) => [name, instrument(prefix + name, row, registry, this.#exemplars)] as const,
    );
    // The cast: entries and type come from the same table.
    this.of = Object.fromEntries(made) as unknown as Instruments;
    this.of.build_info.set({ version, revision, deployment }, 1);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** Renders the metrics, with exemplars in OpenMetrics only. */
  async exposition(format: MetricsFormat): Promise<{ readonly contentType: string; readonly body: string }> {
    if (format === 'text') return { contentType: this.contentType, body: await this.render() };
    return { contentType: OPENMETRICS_TYPE, body: await openMetrics(this.registry, this.#exemplars) };
  }

  /** Renders the metrics in Prometheus' text format. */
  render(): Promise<string> {
    return this.registry.metrics();
  }
}

type Row = Table[MetricName];
type Labels = Record<string, string | number>;

/**
 * Common interface of the three kinds of instruments. The public types restrict methods and labels.
 */
interface AnyInstrument {
  inc?(labels: Labels, by?: number): void;
  dec?(labels: Labels, by?: number): void;
  set?(labels: Labels, value: number): void;
  observe?(labels: Labels, value: number): void;
}

function instrument(name: string, row: Row, registry: Registry, exemplars: Exemplars): unknown {
  const labels: Readonly<Record<string, readonly string[] | 'bounded'>> = 'labels' in row ? row.labels : {};
  const common = { name, help: row.help, labelNames: Object.keys(labels), registers: [registry] };
  const made =
    row.kind === 'counter'
      ? new Counter(common)
      : row.kind === 'gauge'
        ? new Gauge(common)
        : new Histogram({ ...common, buckets: [...row.buckets] });
  if (common.labelNames.length === 0) return made;

  // Create the series at start, so that rate() shows the first increase.
  const begins = 'begins' in row ? row.begins : {};
  const first = row.kind === 'counter' ? combinationsOf({ ...labels, ...begins }) : [];
  for (const combination of first) (made as Counter).inc(combination, 0);
  const bound = labelBounds(labels);
  for (const combination of first) bound(combination);
  const any: AnyInstrument = made;
  return {
    inc: (given: Labels, by?: number) => any.inc?.(bound(given), by),
    dec: (given: Labels, by?: number) => any.dec?.(bound(given), by),
    set: (given: Labels, value: number) => any.set?.(bound(given), value),
    observe: (given: Labels, value: number, traceId?: string | null) => {
      const known = bound(given);
      any.observe?.(known, value);
      if (typeof traceId === 'string') exemplars.add(name, 'buckets' in row ? row.buckets : [], known, value, traceId);
    },
  };
}

/** Returns every combination of listed values, or none if a label is open. */
function combinationsOf(labels: Readonly<Record<string, readonly string[] | 'bounded'>>): Labels[] {
  return Object.entries(labels).reduce<Labels[]>(
    (all, [name, values]) =>
      values === 'bounded' ? [] : all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

/** Most combinations of one metric whose labels are kept resolved. */
const RESOLVED_MAX = 1_000;

/** Bounds the number of series: an unlisted value, or one beyond the limit, counts as `other`. */
function labelBounds(labels: Readonly<Record<string, readonly string[] | 'bounded'>>): (given: Labels) => Labels {
  const seen = new Map(Object.keys(labels).map((name) => [name, new Set<string>()]));
  const names = Object.keys(labels);
  // Turns record the same few combinations again and again.
  const resolved = new Map<string, Labels>();
  return (given) => {
    const key = names.length === 1 ? String(given[names[0] ?? '']) : names.map((name) => given[name]).join('\n');
    const known = resolved.get(key);
    if (known !== undefined) return known;
    const bounded: Labels = {};
    for (const [name, values] of Object.entries(labels)) {
      const value = String(given[name] ?? 'none');
      const known = seen.get(name) ?? new Set<string>();
      if (values === 'bounded' && known.size < LABEL_VALUES_MAX) known.add(value);
      bounded[name] = (values === 'bounded' ? known.has(value) : values.includes(value)) ? value : 'other';
    }
    if (resolved.size < RESOLVED_MAX) resolved.set(key, bounded);
    return bounded;
  };
}
