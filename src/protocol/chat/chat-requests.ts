/*
 * Parses a chat completions request into the domain request of a response that is not stored. A
 * closed schema, like the Responses request: each field is served, accepted because it has no
 * effect, or refused with its name and the reason.
 */

import { z } from 'zod';
import { SluiceError } from '../../domain/errors.js';
import { type ResponseRequest } from '../../domain/request.js';
import { type FunctionTool, type TextFormat, type ToolChoice } from '../../domain/response.js';
import { MOST_NAMES, UNSERVED_FIELDS } from '../responses/unserved-fields.js';
import { CHAT_TOOL_CHOICE } from '../tool-choice.js';
import { chatInputOf, MESSAGES } from './chat-messages.js';
import { refusalOf } from '../refusal.js';
import {
  checkFields,
  closed,
  closedUnion,
  EMPTY_LIST,
  functionOnly,
  inert,
  isObject,
  JSON_OBJECT,
  listOf,
  NAME,
  present,
  recordOf,
} from '../schema-tools.js';
import { MOST_TOOLS, REASONING_EFFORT, SHARED_FIELDS, samplingOf, sharedOf, VERBOSITY } from '../shared-fields.js';

export interface ParsedChat {
  readonly request: ResponseRequest;
  readonly stream: boolean;
  /** Whether the last chunk of a stream contains the usage. */
  readonly includeUsage: boolean;
}

const OPERATION = 'create a chat completion';

const TOOL = z.preprocess(
  functionOnly('Sluice passes function tools through and has no others'),
  z.strictObject({
    type: z.literal('function'),
    function: closed({
      name: NAME,
      description: z.string().optional(),
      parameters: JSON_OBJECT.optional(),
      strict: z.boolean().optional(),
    }),
  }),
);
type Tool = z.output<typeof TOOL>;

const TOOLS = listOf(TOOL, MOST_TOOLS).superRefine((tools, context) => {
  const seen = new Set<string>();
  tools.forEach(({ function: { name } }, index) => {
    const path = [index, 'function', 'name'];
    if (seen.has(name)) context.addIssue({ code: 'custom', path, message: 'is the name of an earlier tool' });
    seen.add(name);
  });
});

const RESPONSE_FORMAT = closedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: closed({
      name: NAME,
      schema: JSON_OBJECT,
      description: z.string().optional(),
      strict: z.boolean().optional(),
    }),
  }),
]);

/** OpenAI's bound. */
const MOST_STOPS = 4;
const MOST_BIASED = 1_024;
const TOKENS = z.int().min(1).optional();

const nothing = z.never();
const legacy = 'it is the older form; send tools and tool_choice';

const { moderation, prompt_cache_options, prompt_cache_retention, service_tier } = UNSERVED_FIELDS;

/**
 * The fields that Sluice does not serve. Values without an effect are accepted and dropped; others
 * are refused with the reason. PROTOCOL.md documents the same list.
 */
const UNSERVED_CHAT_FIELDS = {
  audio: inert(nothing, 'Sluice serves no audio'),
  function_call: inert(nothing, legacy),
  functions: inert(EMPTY_LIST, legacy),
  modalities: inert(listOf(z.literal('text'), MOST_NAMES, 1), 'answers are text'),
  moderation,
  n: inert(z.literal(1), 'a turn has one answer; send the request again for another one'),
  // Speeds up an answer that is known in advance, and does not change it.
  prediction: inert(z.looseObject({ type: z.literal('content') }), 'it must be of type content'),
  prompt_cache_options,
  prompt_cache_retention,
  service_tier,
  store: inert(z.literal(false), 'chat completions are stateless; POST /v1/responses keeps what it answers'),
  web_search_options: inert(nothing, 'Sluice has no built-in tools'),
};

const FIELDS = {
  ...SHARED_FIELDS,
  messages: MESSAGES,
  max_completion_tokens: TOKENS,
  /** The older name of the same bound. */
  max_tokens: TOKENS,
  tools: TOOLS.optional(),
  tool_choice: CHAT_TOOL_CHOICE.optional(),
  response_format: RESPONSE_FORMAT.optional(),
  reasoning_effort: REASONING_EFFORT.optional(),
  stream_options: closed({
    include_usage: z.boolean().optional(),
    // A hint against observers who measure lengths; streams are not padded here.
    include_obfuscation: z.boolean().optional(),
  }).optional(),
  seed: z.int().optional(),
  stop: z.union([z.string(), listOf(z.string(), MOST_STOPS)]).optional(),
  logit_bias: recordOf(MOST_BIASED, z.string(), z.number().min(-100).max(100)).optional(),
  logprobs: z.boolean().optional(),
  verbosity: VERBOSITY.optional(),
  ...UNSERVED_CHAT_FIELDS,
};
export const CHAT_REQUEST = closed(FIELDS);
type Fields = z.output<typeof CHAT_REQUEST>;

/** The top-level field names of a request. */
export const CHAT_FIELDS: readonly string[] = Object.keys(FIELDS);

/**
 * Parses a chat completions request.
 * @throws SluiceError (400) with the invalid field as `param`
 */
export function parseChatRequest(body: unknown): ParsedChat {
  if (!isObject(body)) {
    throw new SluiceError('invalid_request', `unable to ${OPERATION}; the request must be a JSON object`);
  }
  checkFields(body, OPERATION);
  const parsed = CHAT_REQUEST.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, body, OPERATION, CHAT_FIELDS);
  const fields = parsed.data;
  fitsTogether(fields);
  const includeUsage = fields.stream_options?.include_usage === true;
  return { request: requestOf(fields), stream: fields.stream === true, includeUsage };
}

function fitsTogether(fields: Fields): void {
  const { max_completion_tokens: tokens, max_tokens: older } = fields;
  if (tokens !== undefined && older !== undefined && tokens !== older) {
    throw refused('max_tokens', 'max_tokens and max_completion_tokens are two names of one bound; send one');
  }
  if ((fields.top_logprobs ?? 0) > 0 && fields.logprobs !== true) {
    throw refused('top_logprobs', 'top_logprobs needs logprobs: true; send both');
  }
  if (fields.stream_options !== undefined && fields.stream !== true) {
    throw refused('stream_options', 'stream_options needs stream: true; leave it out');
  }
}

function refused(param: string, why: string): SluiceError {
  return new SluiceError('invalid_value', `unable to ${OPERATION}; ${why}`, { param });
}

function requestOf(fields: Fields): ResponseRequest {
  const { instructions, items } = chatInputOf(fields.messages);
  return {
    input: items,
    store: false,
    background: false,
    ...sharedOf(fields),
    ...present({
      instructions: instructions === '' ? undefined : instructions,
      sampling: samplingOf({
        ...fields,
        topLogprobs: fields.logprobs === true ? (fields.top_logprobs ?? 0) : undefined,
      }),
      maxOutputTokens: fields.max_completion_tokens ?? fields.max_tokens,
      tools: fields.tools?.map(toolOf),
      toolChoice: fields.tool_choice satisfies ToolChoice | undefined,
      textFormat: fields.response_format === undefined ? undefined : formatOf(fields.response_format),
      reasoningEffort: fields.reasoning_effort,
    }),
  };
}

function toolOf({ type, function: { name, description, parameters, strict } }: Tool): FunctionTool {
  return { type, name, ...present({ description }), parameters: parameters ?? null, strict: strict ?? null };
}

function formatOf(format: z.output<typeof RESPONSE_FORMAT>): TextFormat {
  if (format.type !== 'json_schema') return format;
  const { name, schema, description, strict } = format.json_schema;
  return { type: 'json_schema', name, schema, ...present({ description, strict }) };
}

/** Names of request fields in the errors of a turn, and their names in chat completions. */
const CHAT_NAMES: Readonly<Record<string, string>> = {
  input: 'messages',
  instructions: 'messages',
  max_output_tokens: 'max_completion_tokens',
  'reasoning.effort': 'reasoning_effort',
  top_logprobs: 'logprobs',
};

/** Renames the fields in a turn's refusal, so that `param` is a field of chat completions. */
export function inChatWords(error: SluiceError): SluiceError {
  const { code, message, param, retryable, retryAfterMs, cause } = error;
  // Several items may come from one message, so the message itself cannot be named.
  const name = param === null ? undefined : param.startsWith('input[') ? 'messages' : CHAT_NAMES[param];
  if (param === null || name === undefined) return error;
  const fieldName = param === 'instructions' ? 'system and developer messages' : name;
  return new SluiceError(code, message.replaceAll(param, fieldName), {
    param: name,
    retryable,
    cause,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
  });
}
