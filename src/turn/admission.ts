/*
 * Admission: every decision before a response exists. A refusal here becomes an HTTP status or an
 * error event, costs nothing and stores nothing. An admitted request becomes a plan that contains
 * all that the turn needs.
 */

import { SluiceError } from '../domain/errors.js';
import { strayOutput } from '../domain/context.js';
import { type Item, type StoredItem } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { type CallPlace } from '../provider/call-gate.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { assembleSystem } from '../templating/assemble.js';
import { type RenderedPrompt } from '../templating/prompt.js';
import { type PromptRegistry } from '../templating/registry.js';
import { renderPrompt } from '../templating/render.js';
import { ALL, contextAfter } from './continuation.js';
import { mayInstruct, refuseInstructingItems, refuseParameter } from './instructing.js';
import { refuseStrayOutput, repeatedOutput } from './stray-output.js';
import { refuseLargeItems } from './item-size.js';

export interface AdmissionPolicy {
  /** The model of the provider's configuration. Always allowed. */
  readonly model: string;
  /** Further models that a request may name. */
  readonly models: readonly string[];
  /** Which parameters a request may set. Null: only requests of trusted callers. */
  readonly allow: {
    readonly instructions: boolean | null;
    readonly model: boolean | null;
    readonly tools: boolean | null;
    readonly sampling: boolean;
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
  /** Whether requests get a system prompt from a prompt pack. */
  readonly templateEnabled: boolean;
  /** Prompt of a request that names none. Null: no prompt. */
  readonly defaultPrompt: string | null;
}

/** What a request calls them. */
const SAMPLING_FIELDS = [
  ['frequencyPenalty', 'frequency_penalty'],
  ['presencePenalty', 'presence_penalty'],
  ['seed', 'seed'],
  ['stop', 'stop'],
  ['logitBias', 'logit_bias'],
  ['verbosity', 'verbosity'],
] as const;

/** Source of a turn's context. */
export type ContextSource =
  | { readonly kind: 'none' }
  | { readonly kind: 'conversation'; readonly id: string }
  | { readonly kind: 'previous'; readonly id: string; readonly context: readonly StoredItem[] };

export interface TurnPlan {
  readonly caller: Principal;
  readonly request: ResponseRequest;
  readonly source: ContextSource;
  /** The prompt from a pack, or null. */
  readonly prompt: RenderedPrompt | null;
  readonly system: string;
  readonly model: string;
  readonly maxOutputTokens: number | null;
  readonly temperature: number | null;
  readonly topP: number | null;
  /** Whether the response shows the model's reasoning. */
  readonly showReasoning: boolean;
  /** The turn's place at a provider. Given back if the turn calls no provider. */
  readonly place?: CallPlace;
}

export interface AdmissionParts {
  readonly prompts: PromptRegistry;
  readonly conversations: ConversationStore;
  readonly responses: ResponseStore;
  readonly events: EventLog;
}

/** Runs the rendering of the prompt, for example inside a trace span. */
export type Rendering = (render: () => RenderedPrompt | null) => RenderedPrompt | null;
export const PLAIN: Rendering = (render) => render();

export class Admission {
  readonly #policy: AdmissionPolicy;
  readonly #parts: AdmissionParts;

  constructor(policy: AdmissionPolicy, parts: AdmissionParts) {
    this.#policy = policy;
    this.#parts = parts;
  }

  /**
   * Checks a request and plans its turn.
   * @param rendering runs the rendering of the prompt
   * @throws SluiceError with the parameter at fault
   */
  async admit(caller: Principal, request: ResponseRequest, rendering: Rendering = PLAIN): Promise<TurnPlan> {
    if (!caller.scopes.has('chat')) {
      throw new SluiceError(
        'insufficient_scope',
        'unable to start a turn; this key lacks the scope chat; use another key',
      );
    }
    this.#checkAllowed(caller, request);
    if (request.store || request.conversation !== undefined) {
      refuseLargeItems(request.input, this.#policy.maxItemBytes, 'input');
    }
    const prompt = rendering(() => this.#prompt(request));
    const source = await this.#source(caller, request);
    return {
      caller,
      request,
      source,
      prompt,
      system: assembleSystem(prompt?.system ?? '', request.instructions),
      model: this.#model(caller, request),
      maxOutputTokens: this.#maxOutputTokens(request, prompt),
      temperature: request.temperature ?? prompt?.parameters.temperature ?? this.#policy.temperature,
      topP: request.topP ?? prompt?.parameters.topP ?? null,
      showReasoning: this.#policy.allow.reasoning ?? caller.trusted,
    };
  }

  #checkAllowed(caller: Principal, request: ResponseRequest): void {
    const { allow } = this.#policy;
    if (!mayInstruct(caller, allow.instructions)) {
      if (request.instructions !== undefined) refuseParameter('instructions');
      refuseInstructingItems(request.input, 'input');
    }
    const tools = request.tools?.length ?? 0;
    if (tools > 0 && !(allow.tools ?? caller.trusted)) refuseParameter('tools');
    if (allow.sampling) return;
    if (request.temperature !== undefined) refuseParameter('temperature');
    if (request.topP !== undefined) refuseParameter('top_p');
    for (const [name, param] of SAMPLING_FIELDS) {
      if (request.sampling?.[name] !== undefined) refuseParameter(param);
    }
    if (request.maxOutputTokens !== undefined) refuseParameter('max_output_tokens');
    if (request.reasoningEffort !== undefined) refuseParameter('reasoning.effort');
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

  #prompt(request: ResponseRequest): RenderedPrompt | null {
    const { templateEnabled, defaultPrompt } = this.#policy;
    const id = request.prompt?.id ?? defaultPrompt;
    if (request.prompt !== undefined && !templateEnabled) {
      throw new SluiceError(
        'prompt_not_found',
        'unable to use a prompt; the configuration turns prompts off; leave `prompt` out',
        {
          param: 'prompt',
        },
      );
    }
    if (!templateEnabled || id === null) return null;
    return renderPrompt(this.#parts.prompts.find(id, request.prompt?.version), request.prompt?.variables ?? {});
  }

  async #source(caller: Principal, request: ResponseRequest): Promise<ContextSource> {
    const { conversation, previousResponseId } = request;
    if (conversation === undefined && previousResponseId === undefined) {
      refuseStrayOutput([], request.input);
      return { kind: 'none' };
    }
    const param = conversation === undefined ? 'previous_response_id' : 'conversation';
    if (!this.#policy.stateEnabled) {
      throw new SluiceError(
        'parameter_not_allowed',
        'unable to continue; the configuration turns stored state off; send the whole context as input',
        {
          param,
        },
      );
    }
    if (conversation !== undefined) {
      const found = await this.#parts.conversations.get(conversation);
      if (found === undefined || !reaches(caller, found.owner)) throw conversationNotFound();
      await this.#refuseRepeatedOutput(conversation, request.input);
      return { kind: 'conversation', id: conversation };
    }
    return this.#previous(caller, previousResponseId ?? '', request.input);
  }

  /**
   * Refuses a second output of a call. Other turns cannot change that a call has its output, so the
   * check holds. An output without a call is checked later, when the turn reaches the head of the
   * queue: a turn before it may still add the call.
   */
  async #refuseRepeatedOutput(conversation: string, input: readonly Item[]): Promise<void> {
    if (!input.some(({ type }) => type === 'function_call_output')) return;
    const stray = strayOutput(await this.#parts.conversations.recentItems(conversation, ALL), input);
    if (stray?.repeated === true) throw repeatedOutput(`input[${stray.index}].call_id`);
  }

  async #previous(caller: Principal, id: string, input: readonly Item[]): Promise<ContextSource> {
    const stored = await this.#parts.responses.get(id);
    if (stored !== undefined && reaches(caller, stored.owner)) {
      const context = await contextAfter(stored, this.#parts.conversations);
      if (context === undefined) throw contextGone();
      refuseStrayOutput(context, input);
      return { kind: 'previous', id, context };
    }
    const running = await this.#parts.events.read(id, -1, 0);
    if (running !== undefined && !running.ended && reaches(caller, running.head.owner)) {
      throw new SluiceError(
        'response_still_running',
        'unable to continue from this response; it is still running; wait for its end',
        {
          param: 'previous_response_id',
        },
      );
    }
    throw new SluiceError(
      'previous_response_not_found',
      'unable to continue; the previous response does not exist, was not stored, or has expired; send the whole context or use a conversation',
      { param: 'previous_response_id' },
    );
  }
}

function contextGone(): SluiceError {
  return new SluiceError(
    'previous_response_not_found',
    'unable to continue; the conversation no longer holds the items of the previous response; continue in the conversation',
    { param: 'previous_response_id' },
  );
}

/**
 * Returns the error for a conversation that does not exist and for one of another owner: a caller
 * cannot distinguish them.
 */
export function conversationNotFound(): SluiceError {
  return new SluiceError(
    'conversation_not_found',
    'unable to find this conversation; it does not exist or has expired; create a conversation',
    {
      param: 'conversation',
    },
  );
}
