/*
 * Items: the entries of a conversation, in wire shape (OpenAI Responses items). Knows neither
 * stores nor connections.
 */

import { type InputFilePart, type InputImagePart, type MediaPart } from './media.js';

export type Role = 'user' | 'assistant' | 'system' | 'developer';
export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

interface Likelihood {
  readonly token: string;
  readonly logprob: number;
  /** The token in UTF-8: a token may hold a part of a character. */
  readonly bytes: readonly number[];
}

/** A token that the model wrote, and the likeliest tokens in its place. */
export interface TokenLogprob extends Likelihood {
  readonly top_logprobs: readonly Likelihood[];
}

interface InputTextPart {
  readonly type: 'input_text';
  readonly text: string;
}
interface OutputTextPart {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly never[];
  /** Empty if the request did not ask for them, or if they do not belong to this text. */
  readonly logprobs: readonly TokenLogprob[];
}
interface RefusalPart {
  readonly type: 'refusal';
  readonly refusal: string;
}
interface ReasoningTextPart {
  readonly type: 'reasoning_text';
  readonly text: string;
}
/** The provider's summary of what a model thought. */
export interface SummaryTextPart {
  readonly type: 'summary_text';
  readonly text: string;
}
/** A part of what a client sends. */
export type InputPart = InputTextPart | InputImagePart | InputFilePart;
/** A part of a message. */
export type ContentPart = InputPart | OutputTextPart | RefusalPart;
/** A part of an item that a turn produces. */
export type OutputPart = ContentPart | ReasoningTextPart;

/** Who speaks: a person writes as `user`, or as `human` in place of the model. */
export type Author = 'model' | 'user' | 'system' | 'human';
export interface AuthorFacts {
  readonly author: Author;
  /** Of a summary: what it replaces. Absent: the client decides that. */
  readonly replaces?: ReplacedItems;
}
interface Authored {
  /**
   * Absent where the type and role of the item say who speaks, and in items of earlier versions.
   */
  readonly sluice?: AuthorFacts;
}

export interface MessageItem extends Authored {
  readonly type: 'message';
  readonly id: string;
  readonly role: Role;
  /**
   * The name of the participant, for clients of chat completions that distinguish several users.
   */
  readonly name?: string;
  readonly status: ItemStatus;
  readonly content: readonly ContentPart[];
}
export interface FunctionCallItem extends Authored {
  readonly type: 'function_call';
  readonly id: string;
  readonly call_id: string;
  readonly name: string;
  /** JSON text, exactly as the model wrote it. */
  readonly arguments: string;
  readonly status: ItemStatus;
  /** Opaque data that the provider needs back with the call, such as Gemini's thought signature. */
  readonly extra_content?: Readonly<Record<string, unknown>>;
}
export interface FunctionCallOutputItem extends Authored {
  readonly type: 'function_call_output';
  readonly id: string;
  readonly call_id: string;
  /** Its text, or its parts if there are images or files among them. */
  readonly output: string | readonly InputPart[];
  readonly status: ItemStatus;
}

/** The reasoning of a model before an answer or a call. */
export interface ReasoningItem extends Authored {
  readonly type: 'reasoning';
  readonly id: string;
  /** What the provider summarized instead of showing it in `content`. */
  readonly summary: readonly SummaryTextPart[];
  readonly content: readonly ReasoningTextPart[];
  readonly status: ItemStatus;
}

/** A summary in place of earlier items. */
export interface CompactionItem extends Authored {
  readonly type: 'compaction';
  readonly id: string;
  /** The summary. Only the deployment that made it can read it. */
  readonly encrypted_content: string;
  readonly status: ItemStatus;
}

/** The items of a conversation or chain that a summary replaces for the provider, in order. */
export interface ReplacedItems {
  readonly first_id: string;
  readonly last_id: string;
  readonly items: number;
}

export type Item = MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem | CompactionItem;
/** An item that a turn can produce. */
export type OutputItem = MessageItem | FunctionCallItem | ReasoningItem | CompactionItem;

/** A stored item of a conversation. */
export interface StoredItem {
  readonly item: Item;
  /** Id of the response that added the item, or null if a client added it through the API. */
  readonly responseId: string | null;
  /**
   * Whether the item is displayed but never sent to a provider: input that a guardrail refused, and
   * the refusal.
   */
  readonly withheld: boolean;
  /**
   * Hidden reasoning that led to a function call. Sent back to providers that need it, never shown.
   */
  readonly reasoning?: string;
}

/** Returns the stored size of an item in bytes, as `state.max_bytes` counts it. */
export function storedBytes(stored: StoredItem): number {
  return Buffer.byteLength(JSON.stringify(stored));
}

export interface ItemBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** Returns the newest of `items` within both bounds, and the newest one regardless of its size. */
export function newestWithin(items: readonly StoredItem[], { maxItems, maxBytes }: ItemBounds): readonly StoredItem[] {
  let bytes = 0;
  let from = items.length;
  for (; from > 0 && items.length - from < maxItems; from -= 1) {
    const stored = items[from - 1];
    bytes += stored === undefined ? 0 : storedBytes(stored);
    if (bytes > maxBytes && from < items.length) break;
  }
  return items.slice(from);
}

/** Returns the reasoning itself, without summaries: what a provider may want back. */
export function reasoningText({ content }: ReasoningItem): string {
  return content.map(({ text }) => text).join('');
}

/** Returns all text of a reasoning item: the reasoning, or the provider's summary of it. */
export function thoughtText(item: ReasoningItem): string {
  return item.summary.map(({ text }) => text).join('') + reasoningText(item);
}

/** Returns the joined text of a message, with refusals only if requested. */
export function messageText(item: MessageItem, withRefusals = false): string {
  const texts: string[] = [];
  for (const part of item.content) {
    if (part.type === 'refusal') {
      if (withRefusals) texts.push(part.refusal);
    }
    // Images, files, and parts whose kind is unknown to this version have no text.
    else if ('text' in part && typeof part.text === 'string') texts.push(part.text);
  }
  // The text of the model continues in its next part. Parts of other roles are separate texts.
  return texts.join(item.role === 'assistant' ? '' : '\n');
}

/**
 * Whether an item of an output is stored: all but empty messages and unfinished items of other
 * kinds.
 */
export function worthKeeping(item: OutputItem): boolean {
  if (item.type !== 'message') return item.status === 'completed';
  return item.content.some((part) =>
    part.type === 'refusal' ? part.refusal !== '' : !('text' in part) || part.text !== '',
  );
}

/** Returns the joined text of a function's output, without its images and files. */
export function outputText({ output }: FunctionCallOutputItem): string {
  if (typeof output === 'string') return output;
  return output.flatMap((part) => (part.type === 'input_text' ? [part.text] : [])).join('\n');
}

/** Returns all text of an item, refusals included. That of a summary is encrypted. */
export function itemText(item: Item): string {
  if (item.type === 'message') return messageText(item, true);
  if (item.type === 'reasoning') return thoughtText(item);
  if (item.type === 'compaction') return item.encrypted_content;
  return item.type === 'function_call' ? `${item.name} ${item.arguments}` : outputText(item);
}

/** Returns the images and files of an item. */
export function mediaOf(item: Item): readonly MediaPart[] {
  const parts = item.type === 'message' ? item.content : item.type === 'function_call_output' ? item.output : [];
  return typeof parts === 'string' ? [] : parts.filter(isMedia);
}

/** Whether a part is an image or a file. */
export function isMedia(part: { readonly type: string }): part is MediaPart {
  return part.type === 'input_image' || part.type === 'input_file';
}

const KINDS: ReadonlySet<string> = new Set<Item['type']>([
  'message',
  'function_call',
  'function_call_output',
  'reasoning',
  'compaction',
]);

/**
 * Whether this version knows the kind of an item. During a rollout a later version may add other
 * kinds to the same conversations. Such an item is kept and displayed, and this version never sends
 * it to a provider.
 */
export function isKnownItem(item: Pick<Item, 'type'>): boolean {
  return KINDS.has(item.type);
}

/** The author of every item that a turn produces. */
export const BY_MODEL: AuthorFacts = { author: 'model' };

/**
 * Returns the author of an item. A person who writes in place of the model is recorded in the item.
 * The output of a function comes from the client's program.
 */
export function authorOf(item: Item): Author {
  return item.sluice?.author ?? authorByRole(item);
}

/** Returns the author that the type and role of an item say. */
export function authorByRole({ type, role }: { readonly type: Item['type']; readonly role?: Role }): Author {
  if (type === 'function_call_output') return 'system';
  if (type !== 'message' || role === 'assistant') return 'model';
  return role === 'user' ? 'user' : 'system';
}

/** Returns an item as clients see it: with its author. */
export function withAuthor(item: Item): Item {
  return item.sluice === undefined ? { ...item, sluice: { author: authorOf(item) } } : item;
}
