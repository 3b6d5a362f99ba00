/* One turn while it runs: its plan, its response, its journal, and the facts it gathers on the way. */

import { type SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type StoredItem } from '../domain/item.js';
import { type Finding, type Kept, type ResponseObject, type SluiceFacts, type Usage } from '../domain/response.js';
import { type Time } from '../domain/time.js';
import { type LostCall } from '../provider/provider.js';
import { type Fence } from '../state/event-log.js';
import { type TurnPlan } from './admission.js';
import { type Journal } from './journal.js';
import { type Context } from './turn-context.js';
import { type OutputWriter } from './output-writer.js';
import { type TurnTrace } from './turn-trace.js';

/** Where a turn came from, for logs and metrics. */
export interface TurnOrigin {
  /** The route's template, or `ws`. */
  readonly endpoint: string;
  readonly method: string;
  readonly path: string;
  readonly requestId: string;
  /** W3C's header value, where the caller's request belongs to a trace. */
  readonly traceparent?: string | undefined;
  /** How the caller waits: for text as it comes, for the whole answer, or not at all. */
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
  /** What is kept of the request, with ids. */
  readonly input: readonly StoredItem[];
  readonly facts: TurnFacts;
  readonly trace: TurnTrace;
  readonly time: Time;
  /** From `time.now()`. */
  readonly startedAt: number;
}

/** What is learned while the turn runs; `sluice` and `usage` of the terminal are made from it. */
export interface TurnFacts {
  /** Its place in the conversation came and its input was judged. What ends before that leaves nothing behind. */
  begun: boolean;
  provider: string | null;
  model: string;
  usage: Usage | null;
  usageEstimated: boolean;
  /** Calls that the one that answered overtook. */
  lost: readonly LostCall[];
  costUsd: number | null;
  readonly findings: Finding[];
  /** A guardrail refused the input: it is shown, never sent. */
  inputRefused: boolean;
  providerCalled: boolean;
  /** All that the provider wrote, released or not; counted where the provider gives no usage. */
  produced: string;
  /** All that the provider's model thought, shown or not. */
  reasoned: string;
  firstDeltaMs: number | null;
  kept: Kept | null;
  /** Why the response could not be stored; null: it was, or was not to be. */
  unstored: SluiceError | null;
  /** What the turn started from; null until it was read. */
  context: Context | null;
}

export function newFacts(model: string): TurnFacts {
  return {
    begun: false,
    provider: null,
    model,
    usage: null,
    usageEstimated: false,
    lost: [],
    costUsd: null,
    findings: [],
    inputRefused: false,
    providerCalled: false,
    produced: '',
    reasoned: '',
    firstDeltaMs: null,
    kept: null,
    unstored: null,
    context: null,
  };
}

/** The response as it stands before anything happened. */
export function newResponse(plan: TurnPlan, time: Pick<Time, 'date' | 'unique'>): ResponseObject {
  const { request, source } = plan;
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
    temperature: plan.temperature,
    text: { format: request.textFormat ?? { type: 'text' } },
    tool_choice: request.toolChoice ?? 'auto',
    tools: request.tools ?? [],
    top_p: plan.topP,
    truncation: 'disabled',
    usage: null,
    user: request.user ?? null,
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
