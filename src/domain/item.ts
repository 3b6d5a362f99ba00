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
export type ContentPart = InputTextPart | OutputTextPart | RefusalPart;

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
}
export interface FunctionCallOutputItem {
  readonly type: 'function_call_output';
  readonly id: string;
  readonly call_id: string;
  readonly output: string;
  readonly status: ItemStatus;
}

export type Item = MessageItem | FunctionCallItem | FunctionCallOutputItem;
/** What a turn can produce. */
export type OutputItem = MessageItem | FunctionCallItem;

/** An item as a conversation keeps it. */
export interface StoredItem {
  readonly item: Item;
  /** The response that brought it, or null where a client wrote it through the API. */
  readonly responseId: string | null;
  /** True for input that a guardrail refused and for its refusal: shown to people, never sent to a provider. */
  readonly withheld: boolean;
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

/** All text of a message, parts joined; refusals count as text only where asked for. */
export function messageText(item: MessageItem, withRefusals = false): string {
  let text = '';
  for (const part of item.content) {
    if (part.type === 'refusal') text += withRefusals ? part.refusal : '';
    // A part of a kind that only a later version knows may have none.
    else if (typeof part.text === 'string') text += part.text;
  }
  return text;
}

const KINDS: ReadonlySet<string> = new Set<Item['type']>(['message', 'function_call', 'function_call_output']);

/**
 * False for an item of a kind that only a later version knows: while one rolls out, both write to the same conversations. Such an item is
 * kept and shown, and never sent to a provider from here.
 */
export function isKnownItem(item: Pick<Item, 'type'>): boolean {
  return KINDS.has(item.type);
}
