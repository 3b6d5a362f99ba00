/*
 * Converts a provider request to the body of a chat completions call. Pure: knows no network and no
 * answer.
 */

import { createHash } from 'node:crypto';
import {
  type ChatCompletionContentPart,
  type ChatCompletionCreateParamsStreaming,
  type ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';
import {
  isMedia,
  type Item,
  mediaOf,
  type MessageItem,
  messageText,
  outputText,
  type ReasoningItem,
  reasoningText,
} from '../../domain/item.js';
import { addressOf, type InputKind, kindOf, type MediaPart } from '../../domain/media.js';
import { type Sampling } from '../../domain/request.js';
import { type FunctionTool, type SentToolChoice, type TextFormat } from '../../domain/response.js';
import { type ProviderRequest } from '../provider.js';

/**
 * Which of two field names a server expects. OpenAI's own models expect `max_completion_tokens`
 * (the o-series refuses the older name) and `safety_identifier`. Most compatible servers know only
 * `max_tokens` and `user`.
 */
export type ChatDialect = 'openai' | 'compatible';

/** Returns `openai` for the hosts of OpenAI and Azure and without a base URL, else `compatible`. */
export function dialectOf(baseUrl: string | undefined): ChatDialect {
  if (baseUrl === undefined) return 'openai';
  const host = URL.parse(baseUrl)?.hostname ?? '';
  return /(?:^|\.)openai\.(?:com|azure\.com)$/u.test(host) ? 'openai' : 'compatible';
}

/** How the requests for one model differ from what OpenAI documents. */
export interface RequestShape {
  readonly dialect: ChatDialect;
  /** Fields that replace those with the same name. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Fields that are never sent. */
  readonly drop: readonly string[];
  readonly tokensField: 'max_tokens' | 'max_completion_tokens';
  readonly streamOptions: boolean;
  /** Whether ids of tool calls are sent as nine letters and digits. */
  readonly shortCallIds: boolean;
  /** What the model takes. A note takes the place of anything else. */
  readonly input: ReadonlySet<InputKind>;
  /** Whether the reasoning of earlier tool rounds is sent back. */
  readonly sendReasoning: boolean;
}

/** Returns the shape for an unknown server. */
export function usualShape(dialect: ChatDialect): RequestShape {
  return {
    dialect,
    body: {},
    drop: [],
    tokensField: dialect === 'openai' ? 'max_completion_tokens' : 'max_tokens',
    streamOptions: true,
    shortCallIds: false,
    input: new Set(usualInput(dialect)),
    sendReasoning: false,
  };
}

/**
 * What an unknown model takes. OpenAI's own models see; most other servers run models that do not.
 */
export function usualInput(dialect: ChatDialect): readonly InputKind[] {
  return dialect === 'openai' ? ['text', 'image', 'file'] : ['text'];
}

export function chatRequest(request: ProviderRequest, shape: RequestShape): ChatCompletionCreateParamsStreaming {
  const body = { ...documented(request, shape), ...shape.body };
  if (shape.drop.length === 0) return body;
  const kept = Object.entries(body).filter(([name]) => !shape.drop.includes(name));
  // The cast is safe: the configuration refuses to drop required fields.
  return Object.fromEntries(kept) as unknown as ChatCompletionCreateParamsStreaming;
}

function documented(request: ProviderRequest, shape: RequestShape): ChatCompletionCreateParamsStreaming {
  const own = shape.dialect === 'openai';
  const format = responseFormat(request.textFormat);
  return {
    model: request.model,
    messages: chatMessages(request, shape),
    stream: true,
    ...(shape.streamOptions ? { stream_options: { include_usage: true } } : {}),
    ...given('temperature', request.temperature),
    ...given('top_p', request.topP),
    ...samplingFields(request.sampling),
    ...given(shape.tokensField, request.maxOutputTokens),
    ...given('reasoning_effort', request.reasoningEffort),
    ...given(own ? 'safety_identifier' : 'user', request.safetyIdentifier),
    ...given('prompt_cache_key', request.promptCacheKey ?? null),
    ...(format === undefined ? {} : { response_format: format }),
    ...tools(request),
  };
}

function samplingFields(sampling: Sampling = {}): Partial<ChatCompletionCreateParamsStreaming> {
  const { frequencyPenalty, presencePenalty, seed, stop, logitBias, verbosity, topLogprobs } = sampling;
  return {
    ...given('frequency_penalty', frequencyPenalty ?? null),
    ...given('presence_penalty', presencePenalty ?? null),
    ...given('seed', seed ?? null),
    ...(stop === undefined ? {} : { stop: [...stop] }),
    ...(logitBias === undefined ? {} : { logit_bias: { ...logitBias } }),
    ...given('verbosity', verbosity ?? null),
    ...(topLogprobs === undefined ? {} : { logprobs: true }),
    ...(topLogprobs === undefined || topLogprobs === 0 ? {} : { top_logprobs: topLogprobs }),
  };
}

/**
 * Converts system prompt and items to messages. `developer` becomes `system`: OpenAI treats them
 * alike, and other servers know only `system`.
 */
function chatMessages({ system, items }: ProviderRequest, shape: RequestShape): ChatCompletionMessageParam[] {
  const messages: ChatCompletionMessageParam[] = system === '' ? [] : [{ role: 'system', content: system }];
  let reasoning = '';
  let shown: ChatCompletionContentPart[] = [];
  const show = (): void => {
    if (shown.length > 0) messages.push({ role: 'user', content: shown });
    shown = [];
  };
  for (const item of items) {
    // An output takes text only, so the images and files of outputs follow behind the last one.
    if (item.type === 'function_call_output') shown.push(...mediaOf(item).map((part) => mediaPart(part, shape.input)));
    else show();
    if (item.type === 'reasoning') reasoning += shape.sendReasoning ? reasoningText(item) : '';
    else {
      add(item, messages, shape.shortCallIds ? nineCharacters : asGiven, shape.input);
      if (reasoning !== '' && item.type === 'function_call') thinkBefore(messages, reasoning);
      // Text may precede the calls of one answer. Drop reasoning that led to text alone: DeepSeek
      // refuses it.
      if (item.type !== 'message' || item.role !== 'assistant') reasoning = '';
    }
  }
  show();
  return messages;
}

const asGiven = (id: string): string => id;

/**
 * Maps an id to nine letters and digits. Equal ids map alike, because a call and its output must
 * match.
 */
function nineCharacters(id: string): string {
  if (/^[A-Za-z0-9]{9}$/u.test(id)) return id;
  return createHash('sha256').update(id).digest('hex').slice(0, 9);
}

/** Adds the reasoning of a tool round to the assistant message with its calls. */
function thinkBefore(messages: ChatCompletionMessageParam[], reasoning: string): void {
  const last = messages.at(-1);
  if (last?.role === 'assistant') Object.assign(last, { reasoning_content: reasoning });
}

function add(
  item: Exclude<Item, ReasoningItem>,
  messages: ChatCompletionMessageParam[],
  idOf: (id: string) => string,
  input: ReadonlySet<InputKind>,
): void {
  switch (item.type) {
    case 'message': {
      const content = messageText(item, true);
      if (item.role === 'user') {
        messages.push({ role: 'user', content: userContent(item, input), ...given('name', item.name ?? null) });
      } else if (item.role !== 'assistant') messages.push({ role: 'system', content });
      // Skip an answer that was cut before its first character: some servers refuse an empty
      // message.
      else if (content !== '') messages.push({ role: 'assistant', content });
      return;
    }
    case 'function_call': {
      const call = {
        id: idOf(item.call_id),
        type: 'function' as const,
        // Servers refuse arguments that are not JSON.
        function: { name: item.name, arguments: item.arguments.trim() === '' ? '{}' : item.arguments },
        ...(item.extra_content === undefined ? {} : { extra_content: item.extra_content }),
      };
      // Keep calls in the assistant message that they arrived with: the API expects their outputs
      // directly after it.
      const last = messages.at(-1);
      if (last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), call];
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
      return;
    }
    case 'function_call_output':
      messages.push({
        role: 'tool',
        tool_call_id: idOf(item.call_id),
        content: outputText(item) || (mediaOf(item).length > 0 ? SHOWN_BELOW : ''),
      });
      return;
    case 'compaction':
      // The turn's context holds the summary as a message in its place.
      return;
  }
}

/** The text of an output that is images and files only. */
const SHOWN_BELOW = '(shown below)';

/** A message without images and files is one text, which every server reads. */
function userContent(item: MessageItem, input: ReadonlySet<InputKind>): string | ChatCompletionContentPart[] {
  if (mediaOf(item).length === 0) return messageText(item, true);
  return item.content.flatMap((part): ChatCompletionContentPart[] => {
    if (isMedia(part)) return [mediaPart(part, input)];
    return part.type === 'input_text' && part.text !== '' ? [{ type: 'text', text: part.text }] : [];
  });
}

/** The note in place of an image or file that the model does not take. */
const NOT_SHOWN = {
  input_image: '(an image, not shown to this model)',
  input_file: '(a file, not shown to this model)',
};

function mediaPart(part: MediaPart, input: ReadonlySet<InputKind>): ChatCompletionContentPart {
  if (!input.has(kindOf(part))) return { type: 'text', text: NOT_SHOWN[part.type] };
  if (part.type === 'input_image') {
    const detail = part.detail === 'auto' ? {} : { detail: part.detail };
    return { type: 'image_url', image_url: { url: part.image_url, ...detail } };
  }
  return { type: 'file', file: { file_data: addressOf(part), ...given('filename', part.filename ?? null) } };
}

function tools(request: ProviderRequest): Partial<ChatCompletionCreateParamsStreaming> {
  if (request.tools.length === 0) return {};
  return {
    tools: request.tools.map((tool) => ({ type: 'function', function: functionOf(tool) })),
    tool_choice: choiceOf(request.toolChoice),
    // True is the default of every server, and some models refuse the field, so send only false.
    ...(request.parallelToolCalls ? {} : { parallel_tool_calls: false }),
  };
}

function functionOf(tool: FunctionTool): {
  name: string;
  description?: string;
  parameters?: Record<string, unknown>;
  strict?: boolean;
} {
  return {
    name: tool.name,
    ...given('description', tool.description ?? null),
    ...(tool.parameters === null ? {} : { parameters: tool.parameters }),
    ...given('strict', tool.strict),
  };
}

function choiceOf(choice: SentToolChoice): NonNullable<ChatCompletionCreateParamsStreaming['tool_choice']> {
  return typeof choice === 'string' ? choice : { type: 'function', function: { name: choice.name } };
}

function responseFormat(format: TextFormat): ChatCompletionCreateParamsStreaming['response_format'] {
  if (format.type === 'text') return undefined;
  if (format.type === 'json_object') return { type: 'json_object' };
  const { name, schema, description, strict } = format;
  return {
    type: 'json_schema',
    json_schema: { name, schema, ...given('description', description ?? null), ...given('strict', strict ?? null) },
  };
}

/** Returns an object with the field, or an empty one if the value is null. */
function given<K extends string, V>(name: K, value: V | null): { [P in K]?: V } {
  // The cast is needed because TypeScript widens a computed key to string.
  return value === null ? {} : ({ [name]: value } as { [P in K]?: V });
}
