/*
 * Converts `input`, and the items of a new conversation, to domain items. Items of an earlier
 * response's output are accepted unchanged. Every item gets a new id: two clients may send the same
 * history, so ids in a request are accepted and replaced.
 */

import { z } from 'zod';
import { newId } from '../../domain/ids.js';
import {
  authorByRole,
  type ContentPart,
  type InputPart,
  isMedia,
  type Item,
  type ItemStatus,
  type SummaryTextPart,
} from '../../domain/item.js';
import { type ItemReference } from '../../domain/request.js';
import { fileOf, imageOf, INPUT_FILE, INPUT_IMAGE } from '../media-parts.js';
import { ANY_LIST, inert, isObject, listOf, recordOf, servedType } from '../schema-tools.js';

const NO_BUILT_IN_TOOLS = 'Sluice has no built-in tools; leave the item out';

/** Kinds of items and parts of OpenAI that Sluice does not serve, with the reason. */
const NOT_SERVED: Readonly<Record<string, string>> = {
  input_audio: 'Sluice serves no audio; send input_text',
  compaction_trigger: 'POST /v1/responses/compact makes summaries; leave the item out',
  ...Object.fromEntries(
    [
      ...['file_search_call', 'web_search_call', 'computer_call', 'computer_call_output', 'image_generation_call'],
      ...['code_interpreter_call', 'local_shell_call', 'local_shell_call_output', 'shell_call', 'shell_call_output'],
      ...['apply_patch_call', 'apply_patch_call_output', 'mcp_list_tools', 'mcp_approval_request', 'mcp_call'],
      ...['mcp_approval_response', 'custom_tool_call', 'custom_tool_call_output', 'tool_search_call', 'program'],
      ...['tool_search_output', 'additional_tools', 'configuration_update', 'program_output'],
    ].map((type) => [type, NO_BUILT_IN_TOOLS]),
  ),
};

/**
 * Prepares a value for a union by `type`: removes nulls, and refuses a known but unserved kind with
 * its reason.
 */
const kindIsServed = servedType('unsupported_content', (type) =>
  typeof type === 'string' && Object.hasOwn(NOT_SERVED, type)
    ? `'${type}' is not served; ${NOT_SERVED[type]}`
    : undefined,
);

const cacheHint = inert(z.unknown(), 'it is a hint for a cache');
const INPUT_TEXT = z.strictObject({
  type: z.literal('input_text'),
  text: z.string(),
  prompt_cache_breakpoint: cacheHint,
});
/**
 * Output that a client sends back has `annotations`, `logprobs` and the SDK's own `parsed`; they
 * add nothing to the text.
 */
const OUTPUT_TEXT = z.strictObject({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: ANY_LIST.optional(),
  logprobs: ANY_LIST.optional(),
  parsed: z.unknown().optional(),
});
const REFUSAL = z.strictObject({ type: z.literal('refusal'), refusal: z.string() });

const STATUS = z.enum(['in_progress', 'completed', 'incomplete']).optional();
const ID = z.string().max(256).optional();
/** Any call id of a provider; some put state into it. */
const CALL_ID = z.string().min(1).max(65_536);
const DIRECT = z.strictObject({ type: z.literal('direct') });
/** The field that Sluice adds to items in lists. Ignored in `input`. */
const sluice = z.unknown().optional();
const callExtras = {
  sluice,
  id: ID,
  status: STATUS,
  namespace: inert(z.never(), 'function tools have no namespaces here'),
  caller: inert(DIRECT, 'there are no programmatic tool callers'),
  created_by: z.unknown().optional(),
};

/** Most parts of one message or output. */
export const MOST_PARTS = 1_000;

const MESSAGE = z.strictObject({
  type: z.literal('message'),
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content: z.union([
    z.string(),
    listOf(
      z.preprocess(
        kindIsServed,
        z.discriminatedUnion('type', [INPUT_TEXT, INPUT_IMAGE, INPUT_FILE, OUTPUT_TEXT, REFUSAL]),
      ),
      MOST_PARTS,
    ),
  ]),
  id: ID,
  status: STATUS,
  /** Set by models that write commentary; no provider here reads it. */
  phase: z.enum(['commentary', 'final_answer']).optional(),
  created_by: z.unknown().optional(),
  sluice,
});
const FUNCTION_CALL = z.strictObject({
  type: z.literal('function_call'),
  call_id: CALL_ID,
  name: z.string().min(1).max(128),
  arguments: z.string(),
  ...callExtras,
  async: inert(z.literal(false), 'function calls are answered in order'),
  extra_content: recordOf(16, z.string().max(64), z.unknown()).optional(),
  parsed_arguments: z.unknown().optional(),
});
const FUNCTION_CALL_OUTPUT = z.strictObject({
  type: z.literal('function_call_output'),
  call_id: CALL_ID,
  output: z.union([
    z.string(),
    listOf(z.preprocess(kindIsServed, z.discriminatedUnion('type', [INPUT_TEXT, INPUT_IMAGE, INPUT_FILE])), MOST_PARTS),
  ]),
  ...callExtras,
  name: z.string().max(128).optional(),
});

/** A summary of this deployment. Whether it can be read is a decision of admission. */
const COMPACTION = z.strictObject({
  type: z.literal('compaction'),
  id: ID,
  encrypted_content: z.string().min(1),
  status: STATUS,
  created_by: z.unknown().optional(),
  sluice,
});

/** As in a response. `encrypted_content` is ignored, because only OpenAI can read it. */
const REASONING = z.strictObject({
  type: z.literal('reasoning'),
  id: ID,
  summary: ANY_LIST.optional(),
  content: listOf(z.strictObject({ type: z.literal('reasoning_text'), text: z.string() }), MOST_PARTS)
    .nullable()
    .optional(),
  encrypted_content: z.string().nullable().optional(),
  status: STATUS,
  created_by: z.unknown().optional(),
  sluice,
});

const ITEM_REFERENCE = z.strictObject({ type: z.literal('item_reference'), id: z.string().min(1).max(256) });

type ItemInput = z.output<
  typeof MESSAGE | typeof FUNCTION_CALL | typeof FUNCTION_CALL_OUTPUT | typeof REASONING | typeof COMPACTION
>;
type MessageInput = z.output<typeof MESSAGE>;
type PartInput = Exclude<MessageInput['content'], string>[number];

function asTyped(value: unknown, context: z.core.$RefinementCtx): unknown {
  const fields = kindIsServed(value, context);
  // OpenAI allows messages and references without `type`.
  if (!isObject(fields) || fields['type'] !== undefined) return fields;
  if (fields['role'] !== undefined) return { ...fields, type: 'message' };
  return Object.keys(fields).join() === 'id' ? { ...fields, type: 'item_reference' } : fields;
}

const KINDS = [MESSAGE, FUNCTION_CALL, FUNCTION_CALL_OUTPUT, REASONING, COMPACTION] as const;
const ITEM = z
  .preprocess(
    asTyped,
    z
      .discriminatedUnion('type', [...KINDS])
      .superRefine(roleFitsParts)
      .superRefine(authorFits),
  )
  .transform((item) => writtenBy(itemOf(item), authorIn(item)));
const ITEM_OR_REFERENCE = z
  .preprocess(asTyped, z.discriminatedUnion('type', [...KINDS, ITEM_REFERENCE]).superRefine(roleFitsParts))
  .transform((item): Item | ItemReference => (item.type === 'item_reference' ? item : itemOf(item)));

/** More items than any history of `max_messages` needs. Bounds the work for one request. */
const MOST_ITEMS = 1_000;

/** The items of `input`, in domain form. References are resolved by the admission of a turn. */
export const ITEMS = listOf(ITEM_OR_REFERENCE, MOST_ITEMS);

/** Returns a schema of the items of a conversation, in domain form. */
export function itemsOf(most: number, least = 0) {
  return listOf(ITEM, most, least);
}

/** Converts a plain string to one user message. */
export function userMessage(text: string): Item {
  return {
    type: 'message',
    id: newId('msg'),
    role: 'user',
    status: 'completed',
    content: [{ type: 'input_text', text }],
  };
}

function roleFitsParts(item: ItemInput | ItemReference, context: z.core.$RefinementCtx): void {
  if (item.type !== 'message' || typeof item.content === 'string') return;
  const { role } = item;
  item.content.forEach((part, index) => {
    if (part.type === 'input_text' || (isMedia(part) ? role === 'user' : role === 'assistant')) return;
    const message = isMedia(part)
      ? `must not be '${part.type}' in a message of the ${role}`
      : `must be 'input_text' in a message of the ${role}`;
    context.addIssue({ code: 'custom', path: ['content', index, 'type'], message, input: part });
  });
}

function authorIn({ sluice: facts }: ItemInput): unknown {
  return isObject(facts) ? (facts['author'] ?? undefined) : undefined;
}

/** Refuses an author that is neither that of the role nor a person in place of the model. */
function authorFits(item: ItemInput, context: z.core.$RefinementCtx): void {
  const author = authorIn(item);
  if (author === undefined) return;
  const own = authorByRole(item);
  const mayBeHuman = item.type === 'message' && own === 'model';
  if (author === own || (mayBeHuman && author === 'human')) return;
  const message = mayBeHuman ? "must be 'model' or 'human'" : `must be '${own}'`;
  context.addIssue({ code: 'custom', path: ['sluice', 'author'], message, input: author });
}

/** Records a person who writes in place of the model. Other authors follow from the item. */
function writtenBy(item: Item, author: unknown): Item {
  return author === 'human' ? { ...item, sluice: { author } } : item;
}

function itemOf(item: ItemInput): Item {
  const status = statusOf(item.status);
  switch (item.type) {
    case 'message':
      return { type: 'message', id: newId('msg'), role: item.role, status, content: contentOf(item) };
    case 'function_call':
      return {
        type: 'function_call',
        id: newId('fc'),
        call_id: item.call_id,
        name: item.name,
        arguments: item.arguments,
        status,
        ...(item.extra_content === undefined ? {} : { extra_content: item.extra_content }),
      };
    case 'compaction':
      return { type: 'compaction', id: newId('cmp'), encrypted_content: item.encrypted_content, status };
    case 'reasoning':
      return { type: 'reasoning', id: newId('rs'), summary: summaryOf(item), content: item.content ?? [], status };
    case 'function_call_output': {
      const output = outputOf(item.output);
      return { type: 'function_call_output', id: newId('fco'), call_id: item.call_id, output, status };
    }
  }
}

/**
 * A summary is kept to be shown and never sent to a provider, so parts of other kinds are dropped.
 */
function summaryOf({ summary = [] }: z.output<typeof REASONING>): SummaryTextPart[] {
  return summary.flatMap((part) =>
    isObject(part) && part['type'] === 'summary_text' && typeof part['text'] === 'string'
      ? [{ type: 'summary_text', text: part['text'] }]
      : [],
  );
}

/** Items from a client are history, so none is still in progress. */
function statusOf(status: ItemStatus | undefined): ItemStatus {
  return status === undefined || status === 'completed' ? 'completed' : 'incomplete';
}

/** An output without images and files is one text. */
function outputOf(output: z.output<typeof FUNCTION_CALL_OUTPUT>['output']): string | InputPart[] {
  if (typeof output === 'string') return output;
  const parts = output.map(inputPartOf);
  return parts.some(isMedia) ? parts : parts.map((part) => (part.type === 'input_text' ? part.text : '')).join('\n');
}

function inputPartOf(part: z.output<typeof INPUT_TEXT | typeof INPUT_IMAGE | typeof INPUT_FILE>): InputPart {
  if (part.type === 'input_image') return imageOf(part);
  return part.type === 'input_file' ? fileOf(part) : { type: 'input_text', text: part.text };
}

function contentOf(message: MessageInput): ContentPart[] {
  const parts: readonly PartInput[] =
    typeof message.content === 'string' ? [{ type: 'input_text', text: message.content }] : message.content;
  return parts.map((part) => {
    if (part.type === 'refusal') return { type: 'refusal', refusal: part.refusal };
    if (part.type === 'input_image' || part.type === 'input_file') return inputPartOf(part);
    return message.role === 'assistant'
      ? { type: 'output_text', text: part.text, annotations: [], logprobs: [] }
      : { type: 'input_text', text: part.text };
  });
}
