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
import { parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
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
  readonly service: { readonly name: string; readonly version: string; readonly environment: string };
}

const EXPORT_TIMEOUT_MS = 2_000;
const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

export class OtlpTracing extends Tracing {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  constructor({ endpoint, sampleRatio, service }: OtlpTracingOptions) {
    super();
    const url = new URL(endpoint);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    const exporter = new OTLPTraceExporter({ url: url.href, timeoutMillis: EXPORT_TIMEOUT_MS });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({
        'service.name': service.name,
        'service.version': service.version,
        'service.instance.id': hostname(),
        'deployment.environment.name': service.environment,
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
      spanProcessors: [new BatchSpanProcessor({ exporter, exportTimeoutMillis: EXPORT_TIMEOUT_MS })],
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
    await this.#provider.shutdown().catch(() => undefined);
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
