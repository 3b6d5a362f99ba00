/*
 * Converts the `messages` of a chat completions request. System and developer messages become
 * instructions at any position; the others become items. Sluice's own answers are accepted
 * unchanged as messages.
 */

import { z } from 'zod';

import { newId } from '../../domain/ids.js';
import {
  type ContentPart,
  type FunctionCallItem,
  type InputPart,
  isMedia,
  type Item,
  type MessageItem,
  type ReasoningItem,
} from '../../domain/item.js';
import { CHAT_FILE, CHAT_IMAGE } from '../media-parts.js';
import { refusalParams } from '../refusal.js';
import { MOST_PARTS } from '../responses/input-items.js';
import { ANY_LIST, inert, isObject, listOf, recordOf, servedFields, servedType } from '../schema-tools.js';
import { MOST_TOOLS } from '../shared-fields.js';

/** Message kinds and parts of OpenAI that Sluice does not serve, with the reason. */
const PARTS_NOT_SERVED: Readonly<Record<string, string>> = { input_audio: 'Sluice serves no audio' };
const MEDIA_OF_OTHERS = 'only messages of the user may contain it';
const NOT_IN_TEXT = { ...PARTS_NOT_SERVED, image_url: MEDIA_OF_OTHERS, file: MEDIA_OF_OTHERS };

/** Refuses a part of a known but unserved type with its reason. */
const partIsServed = (reasons: Readonly<Record<string, string>>) =>
  servedType('unsupported_content', (type) =>
    typeof type === 'string' && Object.hasOwn(reasons, type) ? `'${type}' is not served; ${reasons[type]}` : undefined,
  );

const TEXT_PART = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  prompt_cache_breakpoint: inert(z.unknown(), 'it is a hint for a cache'),
});
/**
 * A text part of an answer, with the extra fields that agents send back; they add nothing to the
 * text.
 */
const ANSWER_PART = TEXT_PART.extend({
  annotations: z.unknown().optional(),
  logprobs: z.unknown().optional(),
  parsed: z.unknown().optional(),
  refusal: z.unknown().optional(),
  role: z.unknown().optional(),
});
const REFUSAL_PART = z.strictObject({ type: z.literal('refusal'), refusal: z.string() });
const TEXT = z.union([
  z.string(),
  listOf(z.preprocess(partIsServed(NOT_IN_TEXT), z.discriminatedUnion('type', [TEXT_PART])), MOST_PARTS).transform(
    (parts) => parts.map((part) => part.text).join('\n'),
  ),
]);
const USER_CONTENT = z.union([
  z.string(),
  listOf(
    z.preprocess(
      partIsServed(PARTS_NOT_SERVED),
      z.discriminatedUnion('type', [TEXT_PART, CHAT_IMAGE, CHAT_FILE]).transform(userPartOf),
    ),
    MOST_PARTS,
  ),
]);
const ASSISTANT_CONTENT = z.union([
  z.string(),
  listOf(
    z.preprocess(partIsServed(NOT_IN_TEXT), z.discriminatedUnion('type', [ANSWER_PART, REFUSAL_PART])),
    MOST_PARTS,
  ),
]);

const ONE_OF_SEVERAL = inert(z.never(), 'providers do not receive the names of participants; say them in the text');
/**
 * The `name` of an assistant or tool message. Accepted and ignored: there is one assistant, and a
 * call names its function.
 */
const NAME_OF_ONE = z.string().max(256).optional();
/** Any call id of a provider; some put state into it. */
const CALL_ID = z.string().min(1).max(65_536);

const TOOL_CALL = z.preprocess(
  servedType('unsupported_parameter', (type) =>
    type === 'custom' ? 'is not served; Sluice passes function tools through' : undefined,
  ),
  z.strictObject({
    type: z.literal('function'),
    id: CALL_ID,
    function: z.strictObject({
      name: z.string().min(1).max(128),
      arguments: z.string(),
      /** Added by the official client to answers that it has parsed. */
      parsed_arguments: z.unknown().optional(),
    }),
    /** Left by the official stream helper in calls that it has assembled. */
    index: z.int().optional(),
    /** Data that the provider expects back with the call. */
    extra_content: recordOf(16, z.string().max(64), z.unknown()).optional(),
  }),
);

const ASSISTANT = z.strictObject({
  role: z.literal('assistant'),
  content: ASSISTANT_CONTENT.optional(),
  refusal: z.string().optional(),
  tool_calls: listOf(TOOL_CALL, MOST_TOOLS).optional(),
  name: NAME_OF_ONE,
  audio: inert(z.never(), 'Sluice serves no audio'),
  function_call: inert(z.never(), 'it is the older form; send tool_calls'),
  annotations: ANY_LIST.optional(),
  /** As in the answers of Sluice. */
  reasoning_content: z.string().nullable().optional(),
  /** Added by the official client to answers that it has parsed. */
  parsed: z.unknown().optional(),
});

const ROLES = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('system'), content: TEXT, name: ONE_OF_SEVERAL }),
  z.strictObject({ role: z.literal('developer'), content: TEXT, name: ONE_OF_SEVERAL }),
  z.strictObject({ role: z.literal('user'), content: USER_CONTENT, name: NAME_OF_ONE }),
  ASSISTANT,
  z.strictObject({ role: z.literal('tool'), content: TEXT, tool_call_id: CALL_ID, name: NAME_OF_ONE }),
]);
type Message = z.output<typeof ROLES>;
type AssistantMessage = z.output<typeof ASSISTANT>;

const MESSAGE = z.preprocess((value, context) => {
  const fields = servedFields(value, context);
  if (!isObject(fields) || fields['role'] !== 'function') return fields;
  const message = "'function' is not served; it is the older form of 'tool'";
  const code = refusalParams('unsupported_parameter');
  context.addIssue({ code: 'custom', path: ['role'], message, ...code, input: value });
  return z.NEVER;
}, ROLES.superRefine(requireContent));

/** The most items that a request may have. */
const MOST_MESSAGES = 1_000;

export const MESSAGES = listOf(MESSAGE, MOST_MESSAGES, 1).superRefine(toolsAnswerCalls);

export interface ChatInput {
  /** Empty if there was no system or developer message. */
  readonly instructions: string;
  readonly items: readonly Item[];
}

export function chatInputOf(messages: readonly Message[]): ChatInput {
  const instructions: string[] = [];
  const items: Item[] = [];
  for (const message of messages) {
    switch (message.role) {
      case 'system':
      case 'developer':
        instructions.push(message.content);
        break;
      case 'user':
        items.push({
          ...messageItem('user', userContentOf(message.content)),
          ...(message.name === undefined ? {} : { name: message.name }),
        });
        break;
      case 'assistant':
        items.push(...answerOf(message));
        break;
      case 'tool': {
        const { tool_call_id: call_id, content: output } = message;
        items.push({ type: 'function_call_output', id: newId('fco'), call_id, output, status: 'completed' });
      }
    }
  }
  return { instructions: instructions.join('\n\n'), items };
}

/** Joins the texts of a message without images and files to one part. */
function userContentOf(content: z.output<typeof USER_CONTENT>): readonly InputPart[] {
  if (typeof content === 'string') return [{ type: 'input_text', text: content }];
  if (content.some(isMedia)) return content;
  return [
    { type: 'input_text', text: content.map((part) => (part.type === 'input_text' ? part.text : '')).join('\n') },
  ];
}

function userPartOf(part: z.output<typeof TEXT_PART | typeof CHAT_IMAGE | typeof CHAT_FILE>): InputPart {
  switch (part.type) {
    case 'text':
      return { type: 'input_text', text: part.text };
    case 'image_url':
      return { type: 'input_image', image_url: part.image_url.url, detail: part.image_url.detail ?? 'auto' };
    case 'file':
      return { type: 'input_file', filename: part.file.filename, file_data: part.file.file_data };
  }
}

function answerOf(message: AssistantMessage): Item[] {
  const { content = '', refusal, tool_calls: calls = [] } = message;
  const parts: ContentPart[] = (typeof content === 'string' ? [{ type: 'text' as const, text: content }] : content).map(
    (part) =>
      part.type === 'text' ? { type: 'output_text', text: part.text, annotations: [], logprobs: [] } : { ...part },
  );
  if (refusal !== undefined) parts.push({ type: 'refusal', refusal });
  const kept = parts.filter((part) =>
    part.type === 'refusal' ? part.refusal !== '' : 'text' in part && part.text !== '',
  );
  return [
    ...reasoningOf(message),
    ...(kept.length === 0 ? [] : [messageItem('assistant', kept)]),
    ...calls.map(callItem),
  ];
}

function reasoningOf({ reasoning_content: text }: AssistantMessage): ReasoningItem[] {
  if (text === undefined || text === null || text === '') return [];
  const content = [{ type: 'reasoning_text', text }] as const;
  return [{ type: 'reasoning', id: newId('rs'), summary: [], content, status: 'completed' }];
}

function messageItem(role: 'user' | 'assistant', content: readonly ContentPart[]): MessageItem {
  return { type: 'message', id: newId('msg'), role, status: 'completed', content };
}

function callItem({ id, function: called, extra_content }: z.output<typeof TOOL_CALL>): FunctionCallItem {
  const { name, arguments: args } = called;
  return {
    type: 'function_call',
    id: newId('fc'),
    call_id: id,
    name,
    arguments: args,
    status: 'completed',
    ...(extra_content === undefined ? {} : { extra_content }),
  };
}

function requireContent(message: Message, context: z.core.$RefinementCtx): void {
  if (message.role !== 'assistant') return;
  const { content, refusal, tool_calls: calls } = message;
  if (content !== undefined || refusal !== undefined || calls !== undefined) return;
  context.addIssue({ code: 'custom', path: ['content'], message: 'is missing', input: undefined });
}

/**
 * Checks OpenAI's rule: a tool message directly follows the assistant's message with its call, with
 * only other tool messages between them.
 */
function toolsAnswerCalls(messages: readonly Message[], context: z.core.$RefinementCtx): void {
  let open = new Set<string>();
  let known = new Set<string>();
  messages.forEach((message, index) => {
    // Instructions are not part of the dialogue, wherever they are written.
    if (message.role === 'system' || message.role === 'developer') return;
    if (message.role !== 'tool') {
      open = new Set(message.role === 'assistant' ? (message.tool_calls ?? []).map(({ id }) => id) : []);
      known = new Set(open);
      return;
    }
    const { tool_call_id: id } = message;
    if (open.delete(id)) return;
    const words = known.has(id)
      ? 'has an answer already; send one tool message for each call'
      : "answers no call of the assistant's message before it; send it directly behind the message with its tool_calls";
    const code = refusalParams(known.has(id) ? 'invalid_value' : 'unknown_call_id');
    context.addIssue({ code: 'custom', path: [index, 'tool_call_id'], message: words, ...code, input: message });
  });
}
