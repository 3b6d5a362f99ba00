/*
 * Tracing over OTLP/HTTP with OpenTelemetry's SDK. Loaded only if tracing is on. Registers nothing
 * globally.
 */

import { hostname } from 'node:os';
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span as ApiSpan,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import { type ExportResult, ExportResultCode, parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { type Span, type SpanAttributes, type SpanOptions, Tracing } from './tracing.js';

export interface OtlpTracingOptions {
  /** An OTLP/HTTP endpoint; without a path: `/v1/traces`. */
  readonly endpoint: string;
  /**
   * Share of traces that begin here and are recorded, from 0 to 1. For other traces the caller's
   * decision applies.
   */
  readonly sampleRatio: number;
  /** Called with the number of spans that were lost. */
  readonly onDropped?: (spans: number) => void;
  readonly service: {
    readonly name: string;
    /** Version of the software. */
    readonly version: string;
    readonly revision?: string;
    /** Version of the deployment. */
    readonly deployment?: string;
    readonly environment: string;
  };
}

const EXPORT_TIMEOUT_MS = 2_000;
/** Spans that wait for the collector; further ones are lost. */
const MAX_QUEUE = 2_048;
/** How long a shutdown waits for a collector that does not answer, in milliseconds. */
const CLOSE_WITHIN_MS = 500;
const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

export class OtlpTracing extends Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  constructor({ endpoint, sampleRatio, service, onDropped = () => undefined }: OtlpTracingOptions) {
    super();
    const url = new URL(endpoint);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    const exporter = new CountingExporter(
      new OTLPTraceExporter({ url: url.href, timeoutMillis: EXPORT_TIMEOUT_MS }),
      onDropped,
    );
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        'service.name': service.name,
        'service.version': service.version,
        'service.instance.id': hostname(),
        ...(service.revision === undefined ? {} : { 'vcs.ref.head.revision': service.revision }),
        ...(service.deployment === undefined ? {} : { 'sluice.deployment': service.deployment }),
        'deployment.environment.name': service.environment,
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
      spanProcessors: [new BoundedProcessor(exporter, onDropped)],
    });
    this.#tracer = this.#provider.getTracer('sluice', service.version);
  }

  override begin(name: string, traceparent: string | undefined, options: SpanOptions = {}): Span {
    const remote = traceparent === undefined ? null : parseTraceParent(traceparent);
    const parent = remote === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true });
    return new OtlpSpan(this.#tracer, name, parent, options);
  }

  override async close(): Promise<void> {
    // An unavailable collector must not delay the shutdown.
    const closed = this.#provider.shutdown().catch(() => undefined);
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CLOSE_WITHIN_MS).unref())]);
  }
}

/** Counts the spans that the collector does not accept. */
class CountingExporter implements SpanExporter {
  /** Number of spans that were exported, or lost by a failed export. */
  done = 0;

  constructor(
    private readonly inner: SpanExporter,
    private readonly onDropped: (spans: number) => void,
  ) {}

  export(spans: ReadableSpan[], resultCallback: (result: ExportResult) => void): void {
    this.inner.export(spans, (result) => {
      this.done += spans.length;
      if (result.code !== ExportResultCode.SUCCESS) this.onDropped(spans.length);
      resultCallback(result);
    });
  }

  async shutdown(): Promise<void> {
    await this.inner.shutdown();
  }
}

/** The batching processor, which loses spans silently when its queue is full; counts them. */
class BoundedProcessor implements SpanProcessor {
  readonly #inner: BatchSpanProcessor;
  readonly #exporter: CountingExporter;
  readonly #onDropped: (spans: number) => void;
  #taken = 0;

  constructor(exporter: CountingExporter, onDropped: (spans: number) => void) {
    this.#exporter = exporter;
    this.#onDropped = onDropped;
    // The queue of the inner processor is larger, so this class notices a full queue first.
    this.#inner = new BatchSpanProcessor({
      exporter,
      exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      maxQueueSize: 2 * MAX_QUEUE,
    });
  }

  onStart(...args: Parameters<SpanProcessor['onStart']>): void {
    this.#inner.onStart(...args);
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    if (this.#taken - this.#exporter.done >= MAX_QUEUE) {
      this.#onDropped(1);
      return;
    }
    this.#taken += 1;
    this.#inner.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#inner.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }
}

class OtlpSpan implements Span {
  readonly traceId: string;
  readonly traceparent: string;
  readonly #tracer: Tracer;
  readonly #span: ApiSpan;
  readonly #context: Context;

  constructor(tracer: Tracer, name: string, parent: Context, { kind, attributes, startedAtMs }: SpanOptions) {
    this.#tracer = tracer;
    this.#span = tracer.startSpan(
      name,
      {
        kind: kind === undefined ? SpanKind.INTERNAL : KINDS[kind],
        ...(attributes === undefined ? {} : { attributes: known(attributes) }),
        ...(startedAtMs === undefined ? {} : { startTime: startedAtMs }),
      },
      parent,
    );
    this.#context = trace.setSpan(parent, this.#span);
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    this.traceId = traceId;
    this.traceparent = `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`;
  }

  child(name: string, options: SpanOptions = {}): Span {
    return new OtlpSpan(this.#tracer, name, this.#context, options);
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(known(attributes));
  }

  failed(code: string): void {
    this.#span.setAttribute('error.type', code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.#span.end();
  }
}

/** Returns the attributes without unknown values. */
function known(attributes: SpanAttributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [[name, typeof value === 'object' ? [...value] : value]],
    ),
  );
}
