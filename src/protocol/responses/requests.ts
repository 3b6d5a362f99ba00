/*
 * Parses a request for a response, over REST or from a socket's `response.create`, into the domain
 * request. A closed schema: each field is served, accepted because it has no effect, or refused
 * with its name and the reason. Does not know what the configuration allows; the admission of a
 * turn decides that.
 */

import { z } from 'zod';

import { SluiceError } from '../../domain/errors.js';
import { type ResponseRequest } from '../../domain/request.js';
import { type FunctionTool, type TextFormat, type ToolChoice } from '../../domain/response.js';
import { ITEMS, userMessage } from './input-items.js';
import { refusalOf } from '../refusal.js';
import {
  checkFields,
  closed,
  closedUnion,
  functionOnly,
  inert,
  isObject,
  JSON_OBJECT,
  listOf,
  NAME,
  present,
} from '../schema-tools.js';
import { ID, MOST_TOOLS, REASONING_EFFORT, samplingOf, SHARED_FIELDS, sharedOf, VERBOSITY } from '../shared-fields.js';
import { TOOL_CHOICE } from '../tool-choice.js';
import {
  INCLUDE,
  INCLUDE_REASON,
  LOGPROBS,
  UNSERVED_FIELDS,
  UNSERVED_REASONING_FIELDS,
  UNSERVED_TOOL_FIELDS,
} from './unserved-fields.js';

/** Where a request arrived: a few fields have a meaning on one transport only. */
export type Edge = 'rest' | 'socket';

export interface ParsedRequest {
  readonly request: ResponseRequest;
  /** Whether the client requested a stream. Always true on a socket. */
  readonly stream: boolean;
}

const TOOL = z.preprocess(
  functionOnly('Sluice passes function tools through and has no built-in ones'),
  z.strictObject({
    type: z.literal('function'),
    name: NAME,
    description: z.string().optional(),
    parameters: JSON_OBJECT.optional(),
    strict: z.boolean().optional(),
    ...UNSERVED_TOOL_FIELDS,
  }),
);

const TOOLS = listOf(TOOL, MOST_TOOLS).superRefine((tools, context) => {
  const seen = new Set<string>();
  tools.forEach((tool, index) => {
    if (seen.has(tool.name))
      context.addIssue({ code: 'custom', path: [index, 'name'], message: 'is the name of an earlier tool' });
    seen.add(tool.name);
  });
});

const TEXT_FORMAT = closedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    name: NAME,
    schema: JSON_OBJECT,
    description: z.string().optional(),
    strict: z.boolean().optional(),
  }),
]);

/** Tokens of context from which on it is compacted, if the request does not say. */
const DEFAULT_THRESHOLD = 100_000;
const LEAST_THRESHOLD = 1_000;
const CONTEXT_MANAGEMENT = listOf(
  closed({ type: z.literal('compaction'), compact_threshold: z.int().min(LEAST_THRESHOLD).optional() }),
  1,
);

const FIELDS = {
  ...SHARED_FIELDS,
  input: z.union([z.string(), ITEMS]).optional(),
  conversation: z.union([ID, closed({ id: ID }).transform((conversation) => conversation.id)]).optional(),
  previous_response_id: ID.optional(),
  instructions: z.string().optional(),
  max_output_tokens: z.int().min(1).optional(),
  tools: TOOLS.optional(),
  tool_choice: TOOL_CHOICE.optional(),
  max_tool_calls: z.int().min(1).optional(),
  text: closed({ format: TEXT_FORMAT.optional(), verbosity: VERBOSITY.optional() }).optional(),
  reasoning: closed({
    effort: REASONING_EFFORT.optional(),
    ...UNSERVED_REASONING_FIELDS,
  }).optional(),
  include: inert(INCLUDE, INCLUDE_REASON),
  context_management: CONTEXT_MANAGEMENT.optional(),
  store: z.boolean().optional(),
  generate: z.boolean().optional(),
  background: z.boolean().optional(),
  ...UNSERVED_FIELDS,
};

export const RESPONSE_REQUEST = closed(FIELDS);
type Fields = z.output<typeof RESPONSE_REQUEST>;

/** The top-level field names of a request, for suggestions on a misspelt one. */
export const REQUEST_FIELDS: readonly string[] = Object.keys(FIELDS);

/**
 * Parses a request for a response.
 * @throws SluiceError (400) with the invalid field as `param`
 */
export function parseResponseRequest(body: unknown, edge: Edge): ParsedRequest {
  if (!isObject(body)) {
    throw new SluiceError('invalid_request', 'unable to create a response; the request must be a JSON object');
  }
  checkFields(body, 'create a response');
  if (edge === 'rest' && Object.hasOwn(body, 'stream_id') && body['stream_id'] !== null) {
    throw refused('unsupported_parameter', 'stream_id', 'stream_id names a lane of a socket; leave it out');
  }
  const { stream_id: _lane, ...fields } = body;
  const parsed = RESPONSE_REQUEST.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, 'create a response', REQUEST_FIELDS);
  fitsTogether(parsed.data, edge);
  return { request: requestOf(parsed.data), stream: edge === 'socket' || parsed.data.stream === true };
}

/**
 * Parses a request whose tokens are counted: a request for a response, with OpenAI's `personality`,
 * which no model here has.
 * @throws SluiceError (400) with the field at fault as `param`
 */
export function parseTokenCountRequest(body: unknown): ParsedRequest {
  if (!isObject(body)) return parseResponseRequest(body ?? {}, 'rest');
  const { personality: _style, ...fields } = body;
  return parseResponseRequest(fields, 'rest');
}

const COMPACT_FIELDS = {
  input: FIELDS.input,
  model: FIELDS.model,
  instructions: FIELDS.instructions,
  previous_response_id: FIELDS.previous_response_id,
  image: UNSERVED_FIELDS.image,
  prompt_cache_key: FIELDS.prompt_cache_key,
  prompt_cache_options: UNSERVED_FIELDS.prompt_cache_options,
  prompt_cache_retention: UNSERVED_FIELDS.prompt_cache_retention,
  service_tier: UNSERVED_FIELDS.service_tier,
};
const COMPACT_REQUEST = closed(COMPACT_FIELDS);

/**
 * Parses a request for a summary.
 * @throws SluiceError (400) with the field at fault as `param`
 */
export function parseCompactRequest(body: unknown): ResponseRequest {
  const what = 'compact';
  if (!isObject(body)) throw new SluiceError('invalid_request', `unable to ${what}; the request must be a JSON object`);
  checkFields(body, what);
  const parsed = COMPACT_REQUEST.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, body, what, Object.keys(COMPACT_FIELDS));
  if (body['model'] === undefined) {
    throw refused('missing_required_parameter', 'model', 'model is missing; send its name, or null for the default');
  }
  const fields = { ...parsed.data, store: false };
  fitsTogether(fields, 'rest');
  return { ...requestOf(fields), summarize: true };
}

/** Checks the rules that involve several fields. */
function fitsTogether(fields: Fields, edge: Edge): void {
  if (fields.conversation !== undefined && fields.previous_response_id !== undefined) {
    throw refused(
      'invalid_value',
      'previous_response_id',
      'conversation and previous_response_id exclude each other; name one of them',
    );
  }
  if (fields.input === undefined || fields.input.length === 0) {
    const continues = fields.conversation ?? fields.previous_response_id ?? fields.prompt ?? prepares(fields);
    if (fields.input === undefined && continues === undefined) {
      throw refused('missing_required_parameter', 'input', 'input is missing; send a string or a list of items');
    }
    if (fields.input === '' || continues === undefined) {
      throw refused('invalid_value', 'input', 'input is empty; send a string or a list of items');
    }
  }
  if (edge === 'rest' && fields.generate === false) {
    throw refused('unsupported_parameter', 'generate', 'a response without output is prepared on a socket only');
  }
  if (edge === 'socket') {
    if (fields.background === true) {
      throw refused(
        'unsupported_parameter',
        'background',
        'background is not served on a socket; a turn outlives its socket anyway',
      );
    }
    if (fields.stream === false) {
      throw refused('unsupported_parameter', 'stream', 'a socket always streams; leave stream out');
    }
  }
  if (fields.background === true && fields.store === false) {
    throw refused('invalid_value', 'background', 'a background response has to be stored; leave store out');
  }
  if (thresholdOf(fields) !== undefined && (fields.conversation ?? fields.previous_response_id) === undefined) {
    throw refused(
      'unsupported_parameter',
      'context_management',
      'context_management needs a conversation or previous_response_id; POST /v1/responses/compact serves other input',
    );
  }
}

/**
 * Returns true if the request prepares a response without output. Any input is enough for such a
 * request.
 */
function prepares({ generate }: Fields): true | undefined {
  return generate === false ? true : undefined;
}

function thresholdOf({ context_management: [rule] = [] }: Pick<Fields, 'context_management'>): number | undefined {
  return rule === undefined ? undefined : (rule.compact_threshold ?? DEFAULT_THRESHOLD);
}

function refused(
  code: 'invalid_value' | 'missing_required_parameter' | 'unsupported_parameter',
  param: string,
  why: string,
) {
  return new SluiceError(code, `unable to create a response; ${why}`, { param });
}

/**
 * Returns the number of alternatives of each token, or undefined if the request asks for no log
 * probabilities. Either field asks for them; the default is 0 alternatives.
 */
function topLogprobsOf({ include, top_logprobs: most = 0 }: Fields): number | undefined {
  return most > 0 || (Array.isArray(include) && include.includes(LOGPROBS)) ? most : undefined;
}

function requestOf(fields: Fields): ResponseRequest {
  return {
    input: typeof fields.input === 'string' ? [userMessage(fields.input)] : (fields.input ?? []),
    store: fields.store ?? true,
    background: fields.background ?? false,
    ...sharedOf(fields),
    ...present({
      generate: fields.generate === false ? (false as const) : undefined,
      conversation: fields.conversation,
      previousResponseId: fields.previous_response_id,
      instructions: fields.instructions,
      sampling: samplingOf({ ...fields, verbosity: fields.text?.verbosity, topLogprobs: topLogprobsOf(fields) }),
      maxOutputTokens: fields.max_output_tokens,
      tools: fields.tools?.map(toolOf),
      toolChoice: fields.tool_choice satisfies ToolChoice | undefined,
      maxToolCalls: fields.max_tool_calls,
      textFormat: fields.text?.format === undefined ? undefined : formatOf(fields.text.format),
      compactThreshold: thresholdOf(fields),
      reasoningEffort: fields.reasoning?.effort,
    }),
  };
}

function toolOf(tool: z.output<typeof TOOL>): FunctionTool {
  return {
    type: 'function',
    name: tool.name,
    ...present({ description: tool.description }),
    parameters: tool.parameters ?? null,
    strict: tool.strict ?? null,
  };
}

function formatOf(format: z.output<typeof TEXT_FORMAT>): TextFormat {
  if (format.type !== 'json_schema') return format;
  const { type, name, schema, description, strict } = format;
  return { type, name, schema, ...present({ description, strict }) };
}
