/*
 * What may be asked of tracing by code that knows no tracing library. A span holds ids, names, counts and durations, never message text.
 * While tracing is off everything here is one object that does nothing; the library is not even loaded.
 */

export type SpanAttributes = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>;

export interface SpanOptions {
  /** `server`: work for a caller; `client`: a call to another service. */
  readonly kind?: 'server' | 'client';
  readonly attributes?: SpanAttributes;
  /** Unix milliseconds; default: now. */
  readonly startedAtMs?: number;
}

export interface Span {
  /** Null while tracing is off. */
  readonly traceId: string | null;
  /** W3C's header value, to be handed on; null while tracing is off. */
  readonly traceparent: string | null;
  child(name: string, options?: SpanOptions): Span;
  set(attributes: SpanAttributes): void;
  /** `code`: an error's code; its words stay in the log. */
  failed(code: string): void;
  end(): void;
}

export abstract class Tracing {
  /** The first span here of a trace that began elsewhere, where `traceparent` says so; what is no such header begins a new one. */
  abstract begin(name: string, traceparent: string | undefined, options?: SpanOptions): Span;
  /** Sends what has not been sent. */
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
