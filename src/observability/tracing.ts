/*
 * The interface of tracing, without a tracing library. A span holds ids, names, counts and
 * durations, never message text. While tracing is off, spans are one object that does nothing, and
 * the library is not loaded.
 */

export type SpanAttributes = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>;

export interface SpanOptions {
  /** `server`: work for a caller. `client`: a call to another service. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: SpanAttributes;
  /** Start in Unix milliseconds. Default: now. */
  readonly startedAtMs?: number;
}

export interface Span {
  /** The trace's id, or null while tracing is off. */
  readonly traceId: string | null;
  /** Value of the W3C `traceparent` header for further calls, or null while tracing is off. */
  readonly traceparent: string | null;
  child(name: string, options?: SpanOptions): Span;
  set(attributes: SpanAttributes): void;
  /** Marks the span as failed. @param code code of the error; its message is only logged */
  failed(code: string): void;
  end(): void;
}

export abstract class Tracing {
  /**
   * Begins a span, in the trace that `traceparent` names, or in a new trace if it is missing or
   * malformed.
   */
  abstract begin(name: string, traceparent: string | undefined, options?: SpanOptions): Span;
  /** Sends the spans that have not been sent. */
  abstract close(): Promise<void>;
}

class NoSpan implements Span {
  readonly traceId = null;
  readonly traceparent = null;
  child(): Span {
    return this;
  }
  set(): void {
    return;
  }
  failed(): void {
    return;
  }
  end(): void {
    return;
  }
}

export const NO_SPAN: Span = new NoSpan();

class NoTracing extends Tracing {
  override begin(): Span {
    return NO_SPAN;
  }
  override async close(): Promise<void> {
    return;
  }
}

export const NO_TRACING: Tracing = new NoTracing();
