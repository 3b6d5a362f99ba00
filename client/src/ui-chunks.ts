/*
 * Translates the events of one response to the chunks of one step of an AI SDK message: text,
 * refusals, reasoning and function calls. Each text is sent once, also when a snapshot or the
 * terminal event repeats it. Knows no socket.
 */

import { type FinishReason, type UIMessageChunk } from 'ai';
import { type OutputItem, type ResponseObject, type WireEvent } from './client.js';

type Kind = 'text' | 'refusal' | 'reasoning' | 'call';

interface Part {
  readonly kind: Kind;
  text: string;
  done: boolean;
}

interface Texts {
  readonly text?: string;
  readonly refusal?: string;
}

type Item = OutputItem & { readonly summary?: readonly Texts[]; readonly extra_content?: unknown };

const DELTA = /^response\.(output_text|refusal|reasoning_text|reasoning_summary_text|function_call_arguments)\.delta$/;
const DONE = /^response\.(output_text|refusal|reasoning_text|reasoning_summary_text)\.done$/;
const KINDS: Readonly<Record<string, Kind>> = {
  output_text: 'text',
  refusal: 'refusal',
  reasoning_text: 'reasoning',
  reasoning_summary_text: 'reasoning',
};

/** Marks the text of a refusal, so that later requests send it back as one. */
const REFUSAL = { sluice: { refusal: true } };

export class UiChunks {
  readonly #parts = new Map<string, Part>();
  /** The `call_id` of each function call, by the id of its item. */
  readonly #calls = new Map<string, string>();
  #chunks: UIMessageChunk[] = [];

  /** Returns the chunks that an event adds. */
  take(event: WireEvent): UIMessageChunk[] {
    // These events have the fields that OpenAI documents.
    const item = event['item'] as Item | undefined;
    const id = String(event['item_id']);
    const name = DELTA.exec(event.type)?.[1];
    if (name === 'function_call_arguments') this.#grow(id, 'call', event.delta ?? '');
    else if (name !== undefined) this.#grow(keyOf(event, id), KINDS[name] ?? 'text', event.delta ?? '');
    else if (DONE.test(event.type)) this.#end(keyOf(event, id));
    else if (event.type === 'response.output_item.added' && item?.type === 'function_call') this.#open(item);
    else if (event.type === 'response.output_item.done' && item !== undefined) this.#level(item);
    return this.#taken();
  }

  /**
   * Returns what a response object has beyond the events so far.
   * @param final whether it is the end; a snapshot may be older than what was sent
   */
  catchUp({ output }: ResponseObject, final: boolean): UIMessageChunk[] {
    // The gateway's items may have more fields than the client reads.
    const items = output as readonly Item[];
    if (final && items.some((item) => this.#contradicts(item))) {
      // The gateway lost events and wrote others: the message must show what is stored.
      this.#parts.clear();
      this.#chunks.push({ type: 'reset-step' });
    }
    for (const item of items) this.#level(item);
    return this.#taken();
  }

  #taken(): UIMessageChunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }

  #contradicts(item: Item): boolean {
    return [...textsOf(item)].some(([key, , text]) => !text.startsWith(this.#parts.get(key)?.text ?? ''));
  }

  /** Sends what is missing of an item, and its end if it has ended. */
  #level(item: Item): void {
    for (const [key, kind, text] of textsOf(item)) {
      if (kind === 'call') this.#open(item);
      const part = this.#parts.get(key);
      if (part?.done === true) continue;
      if (part !== undefined || text !== '') this.#grow(key, kind, text.slice(part?.text.length ?? 0));
      if (item.status === 'in_progress') continue;
      if (kind === 'call') this.#called(item);
      else this.#end(key);
    }
  }

  #open({ id, call_id = id, name = '' }: Item): void {
    if (this.#parts.has(id)) return;
    this.#parts.set(id, { kind: 'call', text: '', done: false });
    this.#calls.set(id, call_id);
    this.#chunks.push({ type: 'tool-input-start', toolCallId: call_id, toolName: name });
  }

  #grow(key: string, kind: Kind, delta: string): void {
    let part = this.#parts.get(key);
    if (part === undefined) {
      part = { kind, text: '', done: false };
      this.#parts.set(key, part);
      if (kind === 'reasoning') this.#chunks.push({ type: 'reasoning-start', id: key });
      else this.#chunks.push({ type: 'text-start', id: key, ...(kind === 'refusal' && { providerMetadata: REFUSAL }) });
    }
    if (delta === '') return;
    part.text += delta;
    if (part.kind === 'call')
      this.#chunks.push({
        type: 'tool-input-delta',
        toolCallId: this.#calls.get(key) ?? key,
        inputTextDelta: delta,
      });
    else this.#chunks.push({ type: part.kind === 'reasoning' ? 'reasoning-delta' : 'text-delta', id: key, delta });
  }

  #end(key: string): void {
    const part = this.#parts.get(key);
    if (part === undefined || part.done) return;
    part.done = true;
    this.#chunks.push({ type: part.kind === 'reasoning' ? 'reasoning-end' : 'text-end', id: key });
  }

  #called({ id, call_id: toolCallId = id, name: toolName = '', arguments: text = '', extra_content }: Item): void {
    const part = this.#parts.get(id);
    if (part !== undefined) part.done = true;
    const call = { toolCallId, toolName };
    let input: unknown;
    try {
      input = JSON.parse(text === '' ? '{}' : text);
    } catch {
      const errorText = 'The arguments of this call are no JSON.';
      this.#chunks.push({ type: 'tool-input-error', ...call, input: text, errorText });
      return;
    }
    // Some providers want it back with the call.
    const kept = extra_content as Record<string, never> | undefined;
    const providerMetadata = kept && { sluice: { extra_content: kept } };
    this.#chunks.push({ type: 'tool-input-available', ...call, input, ...(providerMetadata && { providerMetadata }) });
  }
}

/** The `finish` of a message, from the response that ended it. */
export function finishReasonOf({ status, incomplete_details, output }: ResponseObject): FinishReason {
  if (status === 'completed') {
    if (output.some(({ type }) => type === 'function_call')) return 'tool-calls';
    const refused = output.some(({ content = [] }) => content.some(({ type }) => type === 'refusal'));
    return refused ? 'content-filter' : 'stop';
  }
  if (incomplete_details?.reason === 'max_output_tokens') return 'length';
  return incomplete_details?.reason === 'content_filter' ? 'content-filter' : 'other';
}

function keyOf(event: WireEvent, id: string): string {
  const summary = event['summary_index'];
  return summary === undefined ? `${id}/${String(event['content_index'] ?? 0)}` : `${id}/summary/${String(summary)}`;
}

/** Every text of an item, with the key of its part. */
function* textsOf(item: Item): Generator<readonly [key: string, kind: Kind, text: string]> {
  const { id, type, content = [], summary = [] } = item;
  if (type === 'function_call') yield [id, 'call', item.arguments ?? ''];
  for (const [index, part] of summary.entries()) yield [`${id}/summary/${index}`, 'reasoning', part.text ?? ''];
  for (const [index, part] of content.entries()) {
    const kind = type === 'reasoning' ? 'reasoning' : part.type === 'refusal' ? 'refusal' : 'text';
    yield [`${id}/${index}`, kind, part.refusal ?? part.text ?? ''];
  }
}
