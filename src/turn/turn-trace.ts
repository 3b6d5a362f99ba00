/*
 * The trace of one turn: a span for the whole, and one each for the prompt, the guards, the provider's call and every append. Names, ids
 * and counts only, never a word of anybody's text. While tracing is off it hands through what it is given.
 */

import { asSluiceError, type SluiceError } from '../domain/errors.js';
import { GENAI } from '../observability/genai-attributes.js';
import { NO_SPAN, type Span, type Tracing } from '../observability/tracing.js';
import { type ProviderPart, type ProviderRequest } from '../provider/provider.js';
import { type TurnPlan } from './admission.js';
import { type TurnOutcome } from './outcome.js';

/** What a trace tells of the request that began it. */
interface TracedRequest {
  readonly endpoint: string;
  readonly delivery: string;
  readonly requestId: string;
  readonly traceparent?: string | undefined;
}

/** What it tells of the turn that ended. */
interface TracedTurn {
  readonly plan: TurnPlan;
  readonly responseId: string;
  readonly facts: { readonly findings: readonly unknown[]; readonly costUsd: number | null };
}

type Appended = (durationMs: number, deltas: number) => void;

export class TurnTrace {
  readonly #span: Span;

  private constructor(span: Span) {
    this.#span = span;
  }

  static begin(tracing: Tracing, { endpoint, delivery, requestId, traceparent }: TracedRequest): TurnTrace {
    const attributes = {
      'sluice.endpoint': endpoint,
      'sluice.delivery': delivery,
      'sluice.request.id': requestId,
    };
    return new TurnTrace(tracing.begin('turn', traceparent, { kind: 'server', attributes }));
  }

  /** Null while tracing is off. */
  get traceId(): string | null {
    return this.#span.traceId;
  }

  /** The request is judged and its prompt rendered; a refusal ends the trace. */
  async admitting(admit: () => Promise<TurnPlan>): Promise<TurnPlan> {
    if (this.#span === NO_SPAN) return admit();
    const span = this.#span.child('render prompt');
    try {
      const plan = await admit();
      const { prompt } = plan;
      if (prompt !== null)
        span.set({ 'sluice.prompt': `${prompt.pack}/${prompt.name}`, 'sluice.prompt.version': prompt.version });
      return plan;
    } catch (thrown) {
      span.failed(asSluiceError(thrown).code);
      this.refused(thrown);
      throw thrown;
    } finally {
      span.end();
    }
  }

  /** There is no turn. */
  refused(thrown: unknown): void {
    if (this.#span === NO_SPAN) return;
    this.#span.failed(asSluiceError(thrown).code);
    this.#span.end();
  }

  /** The same request had started its turn before. */
  joined(): void {
    this.#span.set({ 'sluice.outcome': 'joined' });
    this.#span.end();
  }

  /** A step that takes no time to wait for. */
  step<T>(name: string, work: () => T): T {
    if (this.#span === NO_SPAN) return work();
    const span = this.#span.child(name);
    try {
      return work();
    } finally {
      span.end();
    }
  }

  /** Each append as a span of its own, from when it began. */
  appending(tell: Appended): Appended {
    if (this.#span === NO_SPAN) return tell;
    return (durationMs, deltas) => {
      const attributes = { 'sluice.deltas': deltas };
      this.#span.child('append', { attributes, startedAtMs: Date.now() - durationMs }).end();
      tell(durationMs, deltas);
    };
  }

  /** The provider's call, which gets the trace's context with it, and the output guard's work on what comes. */
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
    let guard: Span | undefined;
    try {
      const { traceparent } = span;
      for await (const part of call(traceparent === null ? request : { ...request, traceparent })) {
        guard ??= this.#span.child('guard output');
        if (!('text' in part)) span.set(attributesOf(part));
        yield part;
      }
    } catch (thrown) {
      span.failed(asSluiceError(thrown).code);
      throw thrown;
    } finally {
      guard?.end();
      span.end();
    }
  }

  /** However it ended; `undefined`: somebody else tells its end. */
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
    case 'refusal':
    case 'function_call':
    case 'function_arguments':
      return NOTHING;
  }
}

const NOTHING = {};
