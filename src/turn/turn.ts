/* One running turn: its plan, its response, its journal, and the facts that it collects. */

import { type SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type StoredItem } from '../domain/item.js';
import { type Finding, type Kept, type ResponseObject, type SluiceFacts, type Usage } from '../domain/response.js';
import { type Time } from '../domain/time.js';
import { type LostCall } from '../provider/provider.js';
import { type Fence } from '../state/event-log.js';
import { type TurnPlan } from './admission.js';
import { type Journal } from './journal.js';
import { samplingOf, toolChoiceOf, toolsOf } from './prompt-tools.js';
import { type Context } from './turn-context.js';
import { type OutputWriter } from './output-writer.js';
import { type TurnTrace } from './turn-trace.js';

/** Origin of a turn, for logs and metrics. */
export interface TurnOrigin {
  /** The route's template, or `ws`. */
  readonly endpoint: string;
  readonly method: string;
  readonly path: string;
  readonly requestId: string;
  /** The caller's own id of the request (`x-request-id`), or undefined. */
  readonly clientRequestId?: string | undefined;
  /** Value of the W3C `traceparent` header, if the request belongs to a trace. */
  readonly traceparent?: string | undefined;
  /** How the caller receives the answer: as it is generated, as a whole, or later. */
  readonly delivery: 'stream' | 'json' | 'background';
}

export interface Turn {
  readonly responseId: string;
  readonly plan: TurnPlan;
  readonly origin: TurnOrigin;
  /** Aborts with a TurnStopped. */
  readonly stop: AbortController;
  readonly fence: Fence;
  readonly journal: Journal;
  readonly writer: OutputWriter;
  /** The items of the request, in stored form. */
  readonly input: readonly StoredItem[];
  /** The newest items of its conversation, if they were read as the turn entered it. */
  readonly recent: readonly StoredItem[] | undefined;
  readonly facts: TurnFacts;
  readonly trace: TurnTrace;
  readonly time: Time;
  /** Start of the turn, from `time.now()`. */
  readonly startedAt: number;
}

/** A call for a summary, as it is counted. */
interface SummaryCall {
  readonly provider: string;
  readonly model: string;
  readonly usage: Usage;
}

/** How the compaction of a turn's context ended. */
export interface ContextCompaction {
  /**
   * `refused`: a guardrail refused the summary. `failed`: its call failed, or the summary was cut.
   */
  readonly outcome: 'compacted' | 'refused' | 'failed';
  /** Items that the summary replaces, or would have replaced. */
  readonly items: number;
  readonly error?: unknown;
}

/**
 * Facts collected while the turn runs. `sluice` and `usage` of the terminal event are made from
 * them.
 */
export interface TurnFacts {
  /**
   * Whether the turn reached the head of its queue and its input was checked. A turn that ends
   * before stores no items.
   */
  begun: boolean;
  provider: string | null;
  model: string;
  usage: Usage | null;
  usageEstimated: boolean;
  /** The provider's own id of the request. */
  providerRequestId: string | null;
  /** Failed attempts before the one that answered. */
  retries: number;
  /** Whether another provider than the first in line answered. */
  fallback: boolean;
  /** Calls that were aborted because the call that answered was faster. */
  lost: readonly LostCall[];
  costUsd: number | null;
  readonly findings: Finding[];
  /**
   * Whether a guardrail refused the input. Refused input is displayed and never sent to a provider.
   */
  inputRefused: boolean;
  providerCalled: boolean;
  /** Whether the turn has left the queue of its conversation. */
  placeReleased: boolean;
  /** All text from the provider, released or not. Counted if the provider reports no usage. */
  produced: string;
  /** All reasoning from the provider, shown or not. */
  reasoned: string;
  /** Summaries of reasoning. Never sent back to a provider. */
  summarized: string;
  /** The call for a summary of the context. Null: there was none. */
  summaryCall: SummaryCall | null;
  /** How the compaction of the context ended. Null: none was due, or the turn was stopped. */
  compaction: ContextCompaction | null;
  firstDeltaMs: number | null;
  kept: Kept | null;
  /** Why the response could not be stored. Null: it was stored, or `store` is false. */
  unstored: SluiceError | null;
  /** The context of the turn. Null until it is read. */
  context: Context | null;
}

export function newFacts(model: string): TurnFacts {
  return {
    begun: false,
    provider: null,
    model,
    usage: null,
    usageEstimated: false,
    providerRequestId: null,
    retries: 0,
    fallback: false,
    lost: [],
    costUsd: null,
    findings: [],
    inputRefused: false,
    providerCalled: false,
    placeReleased: false,
    produced: '',
    reasoned: '',
    summarized: '',
    summaryCall: null,
    compaction: null,
    firstDeltaMs: null,
    kept: null,
    unstored: null,
    context: null,
  };
}

/** Builds the response of a turn that has not begun. */
export function newResponse(plan: TurnPlan, time: Pick<Time, 'date' | 'unique'>): ResponseObject {
  const { request, source } = plan;
  const sampling = samplingOf(plan);
  return {
    id: newId('resp', time),
    object: 'response',
    created_at: Math.floor(time.date() / 1_000),
    completed_at: null,
    status: 'in_progress',
    background: request.background,
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    max_output_tokens: plan.maxOutputTokens,
    model: plan.model,
    output: [],
    output_text: '',
    parallel_tool_calls: request.parallelToolCalls ?? true,
    previous_response_id: source.kind === 'previous' ? source.id : null,
    conversation: source.kind === 'conversation' ? { id: source.id } : null,
    prompt:
      request.prompt === undefined
        ? null
        : {
            id: request.prompt.id,
            version: request.prompt.version ?? null,
            variables: request.prompt.variables ?? null,
          },
    reasoning: { effort: request.reasoningEffort ?? null, summary: null },
    service_tier: 'default',
    store: request.store,
    // The defaults of OpenAI, which leave the sampling to the provider.
    temperature: plan.temperature ?? 1,
    text: {
      format: request.textFormat ?? { type: 'text' },
      ...(sampling?.verbosity === undefined ? {} : { verbosity: sampling.verbosity }),
    },
    tool_choice: toolChoiceOf(plan),
    tools: toolsOf(plan).map((tool) => ({ ...tool, description: tool.description ?? null })),
    top_p: plan.topP ?? 1,
    presence_penalty: sampling?.presencePenalty ?? 0,
    frequency_penalty: sampling?.frequencyPenalty ?? 0,
    top_logprobs: sampling?.topLogprobs ?? 0,
    max_tool_calls: request.maxToolCalls ?? null,
    prompt_cache_key: request.promptCacheKey ?? null,
    access_programs: null,
    truncation: 'disabled',
    usage: null,
    ...(request.user === undefined ? {} : { user: request.user }),
    safety_identifier: request.safetyIdentifier ?? null,
    metadata: request.metadata ?? {},
    sluice: sluiceFacts(plan, newFacts(plan.model)),
  };
}

export function sluiceFacts(plan: TurnPlan, facts: TurnFacts): SluiceFacts {
  const { prompt } = plan;
  return {
    prompt: prompt === null ? null : { pack: prompt.pack, name: prompt.name, version: prompt.version },
    provider: facts.provider,
    findings: facts.findings,
    cost_usd: facts.costUsd,
    usage_estimated: facts.usageEstimated,
    kept: facts.kept,
  };
}
