/* Items: the entries of a conversation, in the wire's own shape (OpenAI Responses items). Knows nothing of who stores or sends them. */

export type Role = 'user' | 'assistant' | 'system' | 'developer';
export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface InputTextPart {
  readonly type: 'input_text';
  readonly text: string;
}
export interface OutputTextPart {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly never[];
  readonly logprobs: readonly never[];
}
export interface RefusalPart {
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

/** All text of a message, parts joined; refusals count as text only where asked for. */
export function messageText(item: MessageItem, withRefusals = false): string {
  let text = '';
  for (const part of item.content) {
    if (part.type !== 'refusal') text += part.text;
    else if (withRefusals) text += part.refusal;
  }
  return text;
}

/**
 * The last `max` items, with none of them cut from its partner: a function call without its output and an output without
 * its call are both left out, since providers refuse either. Withheld items never pass. The newest function calls whose output
 * comes with the next input (`pendingCallIds`) stay.
 */
export function windowOf(items: readonly StoredItem[], max: number, pendingCallIds: ReadonlySet<string> = new Set()): Item[] {
  const usable = items.filter((stored) => !stored.withheld).map((stored) => stored.item);
  const recent = max <= 0 ? [] : usable.slice(-max);
  const calls = new Set<string>();
  const outputs = new Set<string>(pendingCallIds);
  for (const item of recent) {
    if (item.type === 'function_call') calls.add(item.call_id);
    if (item.type === 'function_call_output') outputs.add(item.call_id);
  }
  return recent.filter((item) => {
    if (item.type === 'function_call') return outputs.has(item.call_id);
    if (item.type === 'function_call_output') return calls.has(item.call_id);
    return true;
  });
}
