/* Items: the entries of a conversation, in the wire's own shape (OpenAI Responses items). Knows nothing of who stores or sends them. */

export type Role = 'user' | 'assistant' | 'system' | 'developer';
export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface InputTextPart {
  readonly type: 'input_text';
  readonly text: string;
}
interface OutputTextPart {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly never[];
  readonly logprobs: readonly never[];
}
interface RefusalPart {
  readonly type: 'refusal';
  readonly refusal: string;
}
interface ReasoningTextPart {
  readonly type: 'reasoning_text';
  readonly text: string;
}
/** A part of a message. */
export type ContentPart = InputTextPart | OutputTextPart | RefusalPart;
/** A part of an item that a turn produces. */
export type OutputPart = ContentPart | ReasoningTextPart;

export interface MessageItem {
  readonly type: 'message';
  readonly id: string;
  readonly role: Role;
  readonly status: ItemStatus;
  readonly content: readonly ContentPart[];
}
export interface FunctionCallItem {
  readonly type: 'function_call';
  readonly id: string;
  readonly call_id: string;
  readonly name: string;
  /** JSON text, exactly as the model wrote it. */
  readonly arguments: string;
  readonly status: ItemStatus;
  /** What the provider wants back with the call, such as Gemini's thought signature; opaque. */
  readonly extra_content?: Readonly<Record<string, unknown>>;
}
export interface FunctionCallOutputItem {
  readonly type: 'function_call_output';
  readonly id: string;
  readonly call_id: string;
  readonly output: string;
  readonly status: ItemStatus;
}

/** What a model thought before it answered or called. */
export interface ReasoningItem {
  readonly type: 'reasoning';
  readonly id: string;
  readonly summary: readonly never[];
  readonly content: readonly ReasoningTextPart[];
  readonly status: ItemStatus;
}

export type Item = MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem;
/** What a turn can produce. */
export type OutputItem = MessageItem | FunctionCallItem | ReasoningItem;

/** An item as a conversation keeps it. */
export interface StoredItem {
  readonly item: Item;
  /** The response that brought it, or null where a client wrote it through the API. */
  readonly responseId: string | null;
  /** True for input that a guardrail refused and for its refusal: shown to people, never sent to a provider. */
  readonly withheld: boolean;
  /** Of a function call: hidden reasoning that led to it. Sent back to providers that want it, never shown. */
  readonly reasoning?: string;
}

/** Bytes that an item takes where it is stored: what `state.max_bytes` counts. */
export function storedBytes(stored: StoredItem): number {
  return Buffer.byteLength(JSON.stringify(stored));
}

export interface ItemBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** Returns the newest of `items` that are within both bounds; the newest one whatever its size. */
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

/** All text of a reasoning item. */
export function reasoningText({ content }: ReasoningItem): string {
  return content.map(({ text }) => text).join('');
}

/** All text of a message, parts joined; refusals count as text only where asked for. */
export function messageText(item: MessageItem, withRefusals = false): string {
  const texts: string[] = [];
  for (const part of item.content) {
    if (part.type === 'refusal') {
      if (withRefusals) texts.push(part.refusal);
    }
    // A part of a kind that only a later version knows may have none.
    else if (typeof part.text === 'string') texts.push(part.text);
  }
  // What the model wrote goes on in its next part. Parts of anybody else were written apart.
  return texts.join(item.role === 'assistant' ? '' : '\n');
}

const KINDS: ReadonlySet<string> = new Set<Item['type']>([
  'message',
  'function_call',
  'function_call_output',
  'reasoning',
]);

/**
 * False for an item of a kind that only a later version knows: while one rolls out, both write to the same conversations. Such an item is
 * kept and shown, and never sent to a provider from here.
 */
export function isKnownItem(item: Pick<Item, 'type'>): boolean {
  return KINDS.has(item.type);
}
