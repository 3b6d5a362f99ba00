/*
 * Admission: what can be decided about a request before its turn takes a place anywhere. A refusal
 * here becomes an HTTP status or an error event, costs nothing and stores nothing. An admitted
 * request becomes a plan that contains all that the turn needs. The opening of the turn refuses
 * conversations that are unknown, foreign or busy, and callers whose limits are reached.
 */

import { SluiceError } from '../domain/errors.js';
import { type Item, type StoredItem } from '../domain/item.js';
import { type InputKind } from '../domain/media.js';
import { type Principal } from '../domain/principal.js';
import { type ResolvedRequest, type ResponseRequest } from '../domain/request.js';
import { type CallPlace } from '../provider/call-gate.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { type Time } from '../domain/time.js';
import { type RenderedPrompt } from '../templating/prompt.js';
import { type PromptRegistry } from '../templating/registry.js';
import { assembleSystem } from '../templating/render.js';
import { boundTo, withBoundPrompt } from './caller-rules.js';
import { type ContextSource, ContextSources } from './context-source.js';
import { mayInstruct, refuseHistory, refuseInstructingItems, refuseParameter } from './instruction-rules.js';
import { ItemReferences } from './item-references.js';
import { checkTools } from './prompt-tools.js';
import { SUMMARY_INSTRUCTIONS } from './summary-request.js';
import { type SummarySeal } from './summary-seal.js';
import { type MediaCheck } from './media-check.js';
import { refuseLargeItems } from './item-size.js';
import { type UnstoredResponses } from './unstored-responses.js';
import { type PromptPolicy, TurnPrompts } from './turn-prompts.js';

export interface AdmissionPolicy extends PromptPolicy {
  /** The model of the provider's configuration. Always allowed. */
  readonly model: string;
  /** Further models that a request may name. */
  readonly models: readonly string[];
  /** Which parameters a request may set. Null: only requests of trusted callers. */
  readonly allow: {
    readonly instructions: boolean | null;
    readonly model: boolean | null;
    readonly tools: boolean | null;
    readonly sampling: boolean | null;
    /** Whether a request may hold messages of the assistant, function calls and reasoning. */
    readonly history: boolean | null;
    /** Whether the response shows the model's reasoning. */
    readonly reasoning: boolean | null;
  };
  /** Maximum and default number of output tokens. Null: the model's own. */
  readonly maxTokens: number | null;
  readonly temperature: number | null;
  /** Whether `conversation` and `previous_response_id` are accepted. */
  readonly stateEnabled: boolean;
  /** Maximum size of a stored item, in bytes (`state.max_bytes`). */
  readonly maxItemBytes: number;
}

/** The names of the sampling parameters in a request. */
const SAMPLING_FIELDS = [
  ['frequencyPenalty', 'frequency_penalty'],
  ['presencePenalty', 'presence_penalty'],
  ['seed', 'seed'],
  ['stop', 'stop'],
  ['logitBias', 'logit_bias'],
  ['verbosity', 'verbosity'],
  ['topLogprobs', 'top_logprobs'],
] as const;

export interface TurnPlan {
  readonly caller: Principal;
  readonly request: ResolvedRequest;
  /** Items of the request that references named, as they are stored. */
  readonly referenced?: ReadonlyMap<Item, StoredItem>;
  readonly source: ContextSource;
  /** Where the turn is remembered if it is not stored: with the caller's connection. */
  readonly unstored?: UnstoredResponses;
  /** The prompt from a pack, or null. */
  readonly prompt: RenderedPrompt | null;
  readonly system: string;
  readonly model: string;
  readonly maxOutputTokens: number | null;
  readonly temperature: number | null;
  readonly topP: number | null;
  /** What the input contains beside text. Absent: nothing. */
  readonly needs?: ReadonlySet<InputKind>;
  /** Whether the response shows the model's reasoning. */
  readonly showReasoning: boolean;
  /** The turn's place at a provider. Released if the turn calls no provider. */
  readonly place?: CallPlace;
}

export interface AdmissionParts {
  readonly prompts: Pick<PromptRegistry, 'find'>;
  readonly media: MediaCheck;
  readonly seal: Pick<SummarySeal, 'refuseUnreadable' | 'refuseWithoutKey'>;
  readonly conversations: ConversationStore;
  readonly responses: ResponseStore;
  readonly events: EventLog;
  readonly time?: Pick<Time, 'date' | 'unique'>;
}

/** Runs the rendering of the prompt, for example inside a trace span. */
export type Rendering = (render: () => RenderedPrompt | null) => RenderedPrompt | null;
export const PLAIN: Rendering = (render) => render();

export class Admission {
  readonly #policy: AdmissionPolicy;
  readonly #sources: ContextSources;
  readonly #references: ItemReferences;
  readonly #prompts: TurnPrompts;
  readonly #media: MediaCheck;
  readonly #seal: AdmissionParts['seal'];

  constructor(policy: AdmissionPolicy, parts: AdmissionParts) {
    this.#policy = policy;
    const { stateEnabled } = policy;
    this.#sources = new ContextSources({ ...parts, stateEnabled });
    this.#references = new ItemReferences({ ...parts, stateEnabled, maxBytes: policy.maxItemBytes });
    this.#media = parts.media;
    this.#seal = parts.seal;
    this.#prompts = new TurnPrompts(parts.prompts, policy, parts.time);
  }

  /**
   * Checks a request and plans its turn.
   * @param rendering runs the rendering of the prompt
   * @param unstored the responses that only the caller's connection remembers
   * @throws SluiceError with the parameter at fault
   */
  async admit(
    caller: Principal,
    asked: ResponseRequest,
    rendering: Rendering = PLAIN,
    unstored?: UnstoredResponses,
  ): Promise<TurnPlan> {
    if (!caller.scopes.has('chat')) {
      throw new SluiceError(
        'insufficient_scope',
        'unable to start a turn; this key lacks the scope chat; use another key',
      );
    }
    const request = boundTo(caller.binding, asked);
    this.#checkAllowed(caller, request);
    if (request.store || request.conversation !== undefined) {
      refuseLargeItems(request.input, this.#policy.maxItemBytes, 'input');
    }
    const model = this.#model(caller, request);
    const bound = withBoundPrompt(caller.binding, request);
    if (request.compactThreshold !== undefined) this.#seal.refuseWithoutKey('context_management');
    // A summary has instructions of its own.
    const summarizes = request.summarize === true;
    const prompt = summarizes ? null : rendering(() => this.#prompts.render(caller, bound, model));
    checkTools({ request, prompt });
    const source = await this.#sources.of(caller, request, unstored);
    const { items: input, places, referenced } = await this.#references.resolve(caller, request.input, source);
    if (referenced.size > 0) this.#checkInstructing(caller, input, places);
    this.#seal.refuseUnreadable(caller.owner, input, places);
    const needs = await this.#media.check(caller, input, 'input', { model, places });
    await this.#sources.refuseStrayOutput(caller, source, input, places);
    return {
      caller,
      request: { ...request, input },
      ...(referenced.size === 0 ? {} : { referenced }),
      source,
      ...(unstored === undefined ? {} : { unstored }),
      ...this.#promptPart(request, prompt),
      model,
      ...(needs === undefined ? {} : { needs }),
      showReasoning: this.#policy.allow.reasoning ?? caller.trusted,
    };
  }

  /**
   * Plans an admitted turn again, with another version of its prompt. The plan has no place at a
   * provider and remembers nothing.
   * @throws SluiceError as a request that names the version would be refused
   */
  withVersion(plan: TurnPlan, prompt: Pick<RenderedPrompt, 'pack' | 'name' | 'version'>): TurnPlan {
    const { place: _place, unstored: _unstored, ...same } = plan;
    const { caller, request, model } = plan;
    const bound = withBoundPrompt(caller.binding, request);
    const choice = { ...bound.prompt, id: `${prompt.pack}/${prompt.name}`, version: prompt.version };
    const rendered = this.#prompts.render(caller, { ...bound, prompt: choice }, model);
    checkTools({ request, prompt: rendered });
    return { ...same, ...this.#promptPart(request, rendered) };
  }

  /** The part of a plan that depends on the prompt. */
  #promptPart(
    request: ResponseRequest,
    prompt: RenderedPrompt | null,
  ): Pick<TurnPlan, 'prompt' | 'system' | 'maxOutputTokens' | 'temperature' | 'topP'> {
    const system = request.summarize === true ? SUMMARY_INSTRUCTIONS : (prompt?.system ?? '');
    return {
      prompt,
      system: assembleSystem(system, request.instructions),
      maxOutputTokens: this.#maxOutputTokens(request, prompt),
      temperature: request.temperature ?? prompt?.parameters.temperature ?? this.#policy.temperature,
      topP: request.topP ?? prompt?.parameters.topP ?? null,
    };
  }

  #checkAllowed(caller: Principal, request: ResponseRequest): void {
    const { allow } = this.#policy;
    if (request.instructions !== undefined && !mayInstruct(caller, allow.instructions)) refuseParameter('instructions');
    this.#checkInstructing(caller, request.input);
    const tools = request.tools?.length ?? 0;
    if (tools > 0 && !(allow.tools ?? caller.trusted)) refuseParameter('tools');
    if (!(allow.history ?? caller.trusted)) refuseHistory(request.input, 'input');
    if (allow.sampling ?? caller.trusted) return;
    if (request.temperature !== undefined) refuseParameter('temperature');
    if (request.topP !== undefined) refuseParameter('top_p');
    for (const [name, param] of SAMPLING_FIELDS) {
      if (request.sampling?.[name] !== undefined) refuseParameter(param);
    }
    if (request.maxOutputTokens !== undefined) refuseParameter('max_output_tokens');
    if (request.reasoningEffort !== undefined) refuseParameter('reasoning.effort');
  }

  /** @param places the place of each item in the request, where it differs */
  #checkInstructing(caller: Principal, input: ResponseRequest['input'], places?: readonly number[]): void {
    if (!mayInstruct(caller, this.#policy.allow.instructions)) refuseInstructingItems(input, 'input', places);
  }

  #model(caller: Principal, request: ResponseRequest): string {
    const { model, models, allow } = this.#policy;
    if (request.model === undefined || request.model === model) return model;
    if (!models.includes(request.model)) {
      throw new SluiceError(
        'model_not_found',
        'unable to use this model; the configuration does not list it; choose one from GET /v1/models',
        { param: 'model' },
      );
    }
    if (!(allow.model ?? caller.trusted)) refuseParameter('model');
    return request.model;
  }

  #maxOutputTokens(request: ResponseRequest, prompt: RenderedPrompt | null): number | null {
    const ceiling = this.#policy.maxTokens;
    const requested = request.maxOutputTokens;
    if (requested !== undefined && ceiling !== null && requested > ceiling) {
      throw new SluiceError(
        'invalid_value',
        `unable to allow ${requested} output tokens; the configured maximum is ${ceiling}; request at most that many`,
        { param: 'max_output_tokens' },
      );
    }
    const wanted = requested ?? prompt?.parameters.maxTokens ?? ceiling;
    return wanted === null || ceiling === null ? wanted : Math.min(wanted, ceiling);
  }
}
