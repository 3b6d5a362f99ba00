/* A provider request as the body of a chat completions call. Pure: knows no network and no answer. */

import {
  type ChatCompletionCreateParamsStreaming,
  type ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';
import { type Item, messageText } from '../../domain/item.js';
import { type FunctionTool, type TextFormat, type ToolChoice } from '../../domain/response.js';
import { type ProviderRequest } from '../provider.js';

/**
 * Two names for one thing: OpenAI's own models want `max_completion_tokens` (the o-series refuses the older name) and
 * `safety_identifier`; most compatible servers know `max_tokens` and `user` only.
 */
export type ChatDialect = 'openai' | 'compatible';

/** `openai` for OpenAI's and Azure's hosts (and where no base URL is given), else `compatible`. */
export function dialectOf(baseUrl: string | undefined): ChatDialect {
  if (baseUrl === undefined) return 'openai';
  const host = URL.parse(baseUrl)?.hostname ?? '';
  return /(?:^|\.)openai\.(?:com|azure\.com)$/u.test(host) ? 'openai' : 'compatible';
}

export function chatRequest(request: ProviderRequest, dialect: ChatDialect): ChatCompletionCreateParamsStreaming {
  const own = dialect === 'openai';
  const format = responseFormat(request.textFormat);
  return {
    model: request.model,
    messages: chatMessages(request),
    stream: true,
    stream_options: { include_usage: true },
    ...given('temperature', request.temperature),
    ...given('top_p', request.topP),
    ...given(own ? 'max_completion_tokens' : 'max_tokens', request.maxOutputTokens),
    ...given('reasoning_effort', request.reasoningEffort),
    ...given(own ? 'safety_identifier' : 'user', request.safetyIdentifier),
    ...(format === undefined ? {} : { response_format: format }),
    ...tools(request),
  };
}

/** System prompt and items as messages. `developer` becomes `system`: OpenAI takes them for one, others know only that. */
export function chatMessages({ system, items }: ProviderRequest): ChatCompletionMessageParam[] {
  const messages: ChatCompletionMessageParam[] = system === '' ? [] : [{ role: 'system', content: system }];
  for (const item of items) add(item, messages);
  return messages;
}

function add(item: Item, messages: ChatCompletionMessageParam[]): void {
  switch (item.type) {
    case 'message': {
      const content = messageText(item, true);
      if (item.role === 'user') messages.push({ role: 'user', content });
      else if (item.role !== 'assistant') messages.push({ role: 'system', content });
      // An answer that was cut before its first character says nothing, and some servers refuse it.
      else if (content !== '') messages.push({ role: 'assistant', content });
      return;
    }
    case 'function_call': {
      const call = {
        id: item.call_id,
        type: 'function' as const,
        // Servers refuse arguments that are no JSON.
        function: { name: item.name, arguments: item.arguments.trim() === '' ? '{}' : item.arguments },
      };
      // Calls belong to the assistant message they came with: the API wants their outputs right after it.
      const last = messages.at(-1);
      if (last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), call];
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
      return;
    }
    case 'function_call_output':
      messages.push({ role: 'tool', tool_call_id: item.call_id, content: item.output });
  }
}

function tools(request: ProviderRequest): Partial<ChatCompletionCreateParamsStreaming> {
  if (request.tools.length === 0) return {};
  return {
    tools: request.tools.map((tool) => ({ type: 'function', function: functionOf(tool) })),
    tool_choice: choiceOf(request.toolChoice),
    // True is every server's default, and some models refuse the field: it is sent where it changes something.
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

function choiceOf(choice: ToolChoice): NonNullable<ChatCompletionCreateParamsStreaming['tool_choice']> {
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

/** The field, where there is a value; nothing where it is null. */
function given<K extends string, V>(name: K, value: V | null): { [P in K]?: V } {
  // The cast: TypeScript widens a computed key to string.
  return value === null ? {} : ({ [name]: value } as { [P in K]?: V });
}
