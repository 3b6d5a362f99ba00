/*
 * Converts a response to chat completions: a whole completion, chunks from its events, or the error
 * of a failed turn. Pure. The only choice contains all text of the response. Fields of Sluice are
 * under `sluice`.
 */

import { type ResponseEvent } from '../../domain/event.js';
import { type OutputItem, thoughtText, type TokenLogprob } from '../../domain/item.js';
import { type ResponseObject, type ResponseStatus, type SluiceFacts, type Usage } from '../../domain/response.js';
import { FailedTurn } from '../errors.js';

export type ChatFinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

interface ChatUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

interface ChatFacts extends SluiceFacts {
  readonly response_id: string;
  readonly status: ResponseStatus;
}

interface ChatLogprobs {
  readonly content: readonly TokenLogprob[];
  readonly refusal: null;
}

interface ToolCall {
  readonly extra_content?: Readonly<Record<string, unknown>>;
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface ChatCompletion {
  readonly id: string;
  readonly object: 'chat.completion';
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: 0;
    readonly message: {
      readonly role: 'assistant';
      readonly content: string | null;
      readonly refusal: string | null;
      /** The model's reasoning; absent if the configuration hides it. */
      readonly reasoning_content?: string;
      readonly tool_calls?: readonly ToolCall[];
    };
    readonly logprobs: ChatLogprobs | null;
    readonly finish_reason: ChatFinishReason;
  }[];
  readonly usage?: ChatUsage;
  readonly sluice: ChatFacts;
}

interface ChatDelta {
  readonly role?: 'assistant';
  readonly content?: string;
  readonly refusal?: string | null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly {
    readonly index: number;
    readonly extra_content?: Readonly<Record<string, unknown>>;
    readonly id?: string;
    readonly type?: 'function';
    readonly function: { readonly name?: string; readonly arguments: string };
  }[];
}

export interface ChatChunk {
  readonly id: string;
  readonly object: 'chat.completion.chunk';
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: 0;
    readonly delta: ChatDelta;
    readonly logprobs: ChatLogprobs | null;
    readonly finish_reason: ChatFinishReason | null;
  }[];
  /** Absent if not requested; null in all chunks but the last. */
  readonly usage?: ChatUsage | null;
  /** Set in the chunk with the finish reason. */
  readonly sluice?: ChatFacts;
}

/** Converts an ended response that did not fail. */
export function chatCompletion(response: ResponseObject): ChatCompletion {
  const { output, created_at: created, model, usage } = response;
  const calls = output.flatMap(toolCallOf);
  const reasoning = output.map((item) => (item.type === 'reasoning' ? thoughtText(item) : '')).join('');
  return {
    id: chatId(response.id),
    object: 'chat.completion',
    created,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: textOf(output, 'output_text'),
          refusal: textOf(output, 'refusal'),
          ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
          ...(calls.length === 0 ? {} : { tool_calls: calls }),
        },
        logprobs: logprobsOf(output),
        finish_reason: finishReason(response),
      },
    ],
    ...(usage === null ? {} : { usage: chatUsage(usage) }),
    sluice: factsOf(response),
  };
}

/**
 * Maps the end of a response to a finish reason. `content_filter`: a guardrail or the provider's
 * filter stopped it. A refusal by the model is a complete answer. OpenAI has no finish reason
 * for a cancelled response; it gets `length`, like one that ran out of tokens.
 */
function finishReason(response: ResponseObject): ChatFinishReason {
  const reason = response.incomplete_details?.reason;
  if (reason === 'content_filter' || response.sluice.findings.some((finding) => finding.decision === 'deny'))
    return 'content_filter';
  if (reason !== undefined) return 'length';
  return response.output.some((item) => item.type === 'function_call') ? 'tool_calls' : 'stop';
}

/** Converts the events of one response to chunks. Each event must be passed once, in order. */
export class ChatChunkWriter {
  readonly #includeUsage: boolean;
  #response: ResponseObject | undefined;
  #begun = false;
  /** Output index → index of the call. */
  readonly #calls = new Map<number, number>();

  constructor(includeUsage: boolean) {
    this.#includeUsage = includeUsage;
  }

  /**
   * Returns the chunks for an event. Most events have none. @throws FailedTurn at `response.failed`
   */
  take(event: ResponseEvent): ChatChunk[] {
    switch (event.type) {
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        this.#response = event.response;
        return [];
      case 'response.output_text.delta':
        return this.#deltaChunk({ content: event.delta });
      case 'response.refusal.delta':
        return this.#deltaChunk({ refusal: event.delta });
      case 'response.reasoning_text.delta':
      case 'response.reasoning_summary_text.delta':
        return this.#deltaChunk({ reasoning_content: event.delta });
      case 'response.output_item.added': {
        if (event.item.type !== 'function_call') return [];
        const { call_id: id, name, extra_content: extra } = event.item;
        const opaque = extra === undefined ? {} : { extra_content: extra };
        const index = this.#calls.size;
        this.#calls.set(event.output_index, index);
        return this.#deltaChunk({
          tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' }, ...opaque }],
        });
      }
      case 'response.function_call_arguments.delta': {
        const index = this.#calls.get(event.output_index) ?? 0;
        return this.#deltaChunk({ tool_calls: [{ index, function: { arguments: event.delta } }] });
      }
      case 'response.completed':
      case 'response.incomplete':
        this.#response = event.response;
        return this.#end(event.response);
      case 'response.failed':
        throw new FailedTurn(event.response);
      case 'response.output_text.done':
      case 'response.refusal.done':
      case 'response.reasoning_text.done':
      case 'response.reasoning_summary_part.added':
      case 'response.reasoning_summary_text.done':
      case 'response.reasoning_summary_part.done':
      case 'response.function_call_arguments.done':
      case 'response.content_part.added':
      case 'response.content_part.done':
      case 'response.output_item.done':
        return [];
    }
    // During a rolling update a log may hold events of a later version. They have no chunk.
    return [];
  }

  #deltaChunk(delta: ChatDelta): ChatChunk[] {
    return [...this.#begin(), this.#chunk(delta, null)];
  }

  #end(response: ResponseObject): ChatChunk[] {
    const last = { ...this.#chunk({}, finishReason(response)), sluice: factsOf(response) };
    const logprobs = logprobsOf(response.output);
    const chunks = [...this.#begin(), ...(logprobs === null ? [] : [this.#chunk({}, null, logprobs)]), last];
    if (!this.#includeUsage || response.usage === null) return chunks;
    return [...chunks, { ...this.#head(), choices: [], usage: chatUsage(response.usage) }];
  }

  /** Creates OpenAI's first chunk. */
  #begin(): ChatChunk[] {
    if (this.#begun) return [];
    this.#begun = true;
    return [this.#chunk({ role: 'assistant', content: '', refusal: null }, null)];
  }

  #chunk(delta: ChatDelta, finish_reason: ChatFinishReason | null, logprobs: ChatLogprobs | null = null): ChatChunk {
    return { ...this.#head(), choices: [{ index: 0, delta, logprobs, finish_reason }] };
  }

  #head(): Omit<ChatChunk, 'choices'> {
    if (this.#response === undefined) throw new Error('unable to make a chunk; response.created has not come yet');
    const { id, created_at: created, model } = this.#response;
    const usage = this.#includeUsage ? { usage: null } : {};
    return { id: chatId(id), object: 'chat.completion.chunk', created, model, ...usage };
  }
}

/** Reuses the random digits of the response id, so that each id leads to the other. */
function chatId(responseId: string): string {
  return responseId.replace(/^resp_/u, 'chatcmpl_');
}

/** Joins all text of one kind; null if there is none. */
function textOf(output: readonly OutputItem[], kind: 'output_text' | 'refusal'): string | null {
  let text: string | null = null;
  for (const item of output) {
    if (item.type !== 'message') continue;
    for (const part of item.content) {
      if (part.type === kind) text = (text ?? '') + (part.type === 'refusal' ? part.refusal : part.text);
    }
  }
  return text;
}

/** Returns the log probabilities of all text; null if some text has none. */
function logprobsOf(output: readonly OutputItem[]): ChatLogprobs | null {
  const content: TokenLogprob[] = [];
  for (const item of output) {
    for (const part of item.type === 'message' ? item.content : []) {
      if (part.type !== 'output_text') continue;
      if (part.logprobs.length === 0) return null;
      content.push(...part.logprobs);
    }
  }
  return content.length === 0 ? null : { content, refusal: null };
}

function toolCallOf(item: OutputItem): ToolCall[] {
  if (item.type !== 'function_call') return [];
  const { call_id: id, name, arguments: args, extra_content: extra } = item;
  const opaque = extra === undefined ? {} : { extra_content: extra };
  return [{ id, type: 'function', function: { name, arguments: args }, ...opaque }];
}

function chatUsage(usage: Usage): ChatUsage {
  return {
    prompt_tokens: usage.input_tokens,
    completion_tokens: usage.output_tokens,
    total_tokens: usage.total_tokens,
    prompt_tokens_details: { cached_tokens: usage.input_tokens_details.cached_tokens },
    completion_tokens_details: { reasoning_tokens: usage.output_tokens_details.reasoning_tokens },
  };
}

function factsOf({ id, status, sluice }: ResponseObject): ChatFacts {
  return { response_id: id, status, ...sluice };
}
