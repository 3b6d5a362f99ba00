/*
 * The trace of one turn: one span for the whole turn, and one each for admission, its prompt, the
 * guards, the provider's call and every append. Contains names, ids and counts only, never message
 * text. While tracing is off it passes its arguments through.
 */

import { asSluiceError, type SluiceError } from '../domain/errors.js';
import { type Time } from '../domain/time.js';
import { NO_SPAN, type Span, type SpanAttributes, type Tracing } from '../observability/tracing.js';
import { type ProviderPart, type ProviderRequest } from '../provider/provider.js';
import { type RenderedPrompt } from '../templating/prompt.js';
import { type WrapGuard } from '../validation/output-guard.js';
import { PLAIN, type Rendering, type TurnPlan } from './admission.js';
import { GuardTimes } from './guard-times.js';
import { type TurnOutcome } from './outcome.js';

/** OpenTelemetry's attribute names for calls to language models. The names still change. */
const GENAI = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  conversation: 'gen_ai.conversation.id',
  requestModel: 'gen_ai.request.model',
  requestMaxTokens: 'gen_ai.request.max_tokens',
  requestTemperature: 'gen_ai.request.temperature',
  responseModel: 'gen_ai.response.model',
  responseId: 'gen_ai.response.id',
  finishReasons: 'gen_ai.response.finish_reasons',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
} as const;

/** The attributes of a request that go into its trace. */
interface TracedRequest {
  readonly endpoint: string;
  readonly delivery: string;
  readonly requestId: string;
  readonly traceparent?: string | undefined;
}

/** The facts of an ended turn that go into its trace. */
interface TracedTurn {
  readonly plan: TurnPlan;
  readonly responseId: string;
  readonly facts: { readonly findings: readonly unknown[]; readonly costUsd: number | null };
}

type Appended = (durationMs: number, deltas: number) => void;

const UNWRAPPED: WrapGuard = (guard) => guard;

export class TurnTrace {
  readonly #span: Span;
  readonly #time: Time;
  #guarded: GuardTimes | undefined;

  private constructor(span: Span, time: Time) {
    this.#span = span;
    this.#time = time;
  }

  static begin(tracing: Tracing, { endpoint, delivery, requestId, traceparent }: TracedRequest, time: Time): TurnTrace {
    const attributes = {
      'sluice.endpoint': endpoint,
      'sluice.delivery': delivery,
      'sluice.request.id': requestId,
    };
    return new TurnTrace(tracing.begin('turn', traceparent, { kind: 'server', attributes }), time);
  }

  /** The trace's id, or null while tracing is off. */
  get traceId(): string | null {
    return this.#span.traceId;
  }

  /** The trace's id if the trace is exported, or null. */
  get exportedTraceId(): string | null {
    return this.#span.traceparent?.endsWith('-01') === true ? this.#span.traceId : null;
  }

  /** Traces admission and the rendering of its prompt. A refusal ends the trace. */
  async admitting(admit: (rendering: Rendering) => Promise<TurnPlan>): Promise<TurnPlan> {
    if (this.#span === NO_SPAN) return admit(PLAIN);
    const span = this.#span.child('admit');
    try {
      return await admit((render) => stepOf(span, 'render prompt', render, promptOf));
    } catch (thrown) {
      span.failed(asSluiceError(thrown).code);
      this.refused(thrown);
      throw thrown;
    } finally {
      span.end();
    }
  }

  /** Ends the trace of a request that was refused. */
  refused(thrown: unknown): void {
    if (this.#span === NO_SPAN) return;
    this.#span.failed(asSluiceError(thrown).code);
    this.#span.end();
  }

  /** Ends the trace of a repeated request, whose turn runs already. */
  joined(): void {
    this.#span.set({ 'sluice.outcome': 'joined' });
    this.#span.end();
  }

  /** Traces the input guard. */
  guardingInput<T>(check: () => T): T {
    return this.#span === NO_SPAN ? check() : stepOf(this.#span, 'guard input', check);
  }

  /** Wraps the output guard to time its checks, which are spread over the whole stream. */
  get guardingOutput(): WrapGuard {
    if (this.#span === NO_SPAN) return UNWRAPPED;
    const times = (this.#guarded ??= new GuardTimes(this.#time));
    return (guard) => times.timing(guard);
  }

  /** Wraps a listener of appends to record each append as a span. */
  appending(report: Appended): Appended {
    if (this.#span === NO_SPAN) return report;
    return (durationMs, deltas) => {
      const attributes = { 'sluice.deltas': deltas };
      this.#span.child('append', { attributes, startedAtMs: this.#time.date() - durationMs }).end();
      report(durationMs, deltas);
    };
  }

  /**
   * Traces the provider's call and passes the trace context to it. Records the output guard's span
   * at the end of the call.
   */
  calling(
    request: ProviderRequest,
    call: (request: ProviderRequest) => AsyncIterable<ProviderPart>,
  ): AsyncIterable<ProviderPart> {
    return this.#span === NO_SPAN ? call(request) : this.#traced(request, call);
  }

  async *#traced(
    request: ProviderRequest,
    call: (request: ProviderRequest) => AsyncIterable<ProviderPart>,
  ): AsyncGenerator<ProviderPart> {
    const span = this.#span.child(`chat ${request.model}`, {
      kind: 'client',
      attributes: {
        [GENAI.operation]: 'chat',
        [GENAI.requestModel]: request.model,
        [GENAI.requestMaxTokens]: request.maxOutputTokens,
        [GENAI.requestTemperature]: request.temperature,
      },
    });
    try {
      const { traceparent } = span;
      for await (const part of call(traceparent === null ? request : { ...request, traceparent })) {
        if (!('text' in part)) span.set(attributesOf(part));
        yield part;
      }
    } catch (thrown) {
      span.failed(asSluiceError(thrown).code);
      throw thrown;
    } finally {
      span.end();
      this.#guarded?.record(this.#span);
    }
  }

  /** Ends the trace of a turn. @param outcome undefined if another replica reports the end */
  ended({ plan, responseId, facts }: TracedTurn, outcome: TurnOutcome | undefined, error?: SluiceError): void {
    if (this.#span === NO_SPAN) return;
    const code = error?.code ?? (outcome?.end === 'failed' ? outcome.error.code : undefined);
    this.#span.set({
      [GENAI.responseId]: responseId,
      [GENAI.conversation]: plan.source.kind === 'conversation' ? plan.source.id : null,
      'sluice.outcome': outcome?.end === 'incomplete' ? outcome.reason : (outcome?.end ?? 'lost'),
      'sluice.findings': facts.findings.length,
      'sluice.cost_usd': facts.costUsd,
    });
    if (code !== undefined) this.#span.failed(code);
    this.#span.end();
  }
}

function attributesOf(part: ProviderPart): Readonly<Record<string, string | number | readonly string[]>> {
  switch (part.type) {
    case 'start':
      return { [GENAI.provider]: part.provider, [GENAI.responseModel]: part.model };
    case 'usage':
      return { [GENAI.inputTokens]: part.usage.input_tokens, [GENAI.outputTokens]: part.usage.output_tokens };
    case 'finish':
      return { [GENAI.finishReasons]: [part.reason] };
    case 'text':
    case 'logprobs':
    case 'reasoning':
    case 'reasoning_summary':
    case 'refusal':
    case 'function_call':
    case 'function_arguments':
      return NOTHING;
  }
}

const NOTHING = {};

/** Runs a synchronous step inside a span. */
function stepOf<T>(parent: Span, name: string, work: () => T, attributes?: (result: T) => SpanAttributes): T {
  const span = parent.child(name);
  try {
    const result = work();
    if (attributes !== undefined) span.set(attributes(result));
    return result;
  } catch (thrown) {
    span.failed(asSluiceError(thrown).code);
    throw thrown;
  } finally {
    span.end();
  }
}

function promptOf(prompt: RenderedPrompt | null): SpanAttributes {
  if (prompt === null) return NOTHING;
  return { 'sluice.prompt': `${prompt.pack}/${prompt.name}`, 'sluice.prompt.version': prompt.version };
}
