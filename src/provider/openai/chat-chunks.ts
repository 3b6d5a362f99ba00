/*
 * The chunks of one chat completions stream into parts, and the verdict whether it ended as it should.
 * Knows no network: it is given the data of SSE events.
 */

import { type Usage } from '../../domain/response.js';
import { type FinishReason, type ProviderPart } from '../provider.js';
import { type Delta, parseChunk, type RawUsage, type ToolCallDelta } from './chat-chunk.js';
import { fromErrorObject, interrupted, malformed } from './chat-errors.js';
import { TextChunkShape } from './text-chunk-shape.js';
import { type TextEventBytes } from './text-event-bytes.js';

interface Call {
  /** As parts count calls; −1 until its name is known. */
  index: number;
  id: string;
  /** Arguments that came before the name. */
  held: string;
}

export class ChatChunks {
  #finish: FinishReason | undefined;
  #usage: Usage | undefined;
  #done = false;
  #produced = '';
  readonly #calls = new Map<number, Call>();
  readonly #shape = new TextChunkShape();
  #started = 0;

  /** Everything that can be said has been said: the end marker came. */
  get done(): boolean {
    return this.#done;
  }
  /** The model has finished; only usage and the end marker may follow. */
  get finished(): boolean {
    return this.#finish !== undefined;
  }
  get usage(): Usage | undefined {
    return this.#usage;
  }
  /** All text, refusals and arguments so far, for an estimate where no usage came. */
  get produced(): string {
    return this.#produced;
  }

  /** How to read a whole event of the body by its bytes, once that is known. */
  get textBytes(): TextEventBytes | undefined {
    return this.#done ? undefined : this.#shape.bytes;
  }

  /** Adds the part of an event of which only the text was read. */
  pushText(text: string, parts: ProviderPart[]): void {
    this.#text(text, parts);
  }

  /** Adds the parts of one event to `parts`. @throws SluiceError for an error object or what is no chunk */
  push(data: string, parts: ProviderPart[]): void {
    if (this.#done) return;
    if (data === '[DONE]') {
      this.#done = true;
      return;
    }
    const text = this.#shape.textOf(data);
    if (text !== undefined) return this.#text(text, parts);
    const chunk = parseChunk(data);
    if (chunk.error !== undefined && chunk.error !== null) throw fromErrorObject(chunk.error);
    if (chunk.object === 'error') throw fromErrorObject(chunk);
    if (chunk.usage !== undefined && chunk.usage !== null) this.#usage = usageOf(chunk.usage) ?? this.#usage;
    for (const choice of chunk.choices ?? []) {
      // Only one answer was asked for; a server that sends more is not mixed into it.
      if ((choice.index ?? 0) !== 0) continue;
      if (choice.delta !== undefined && choice.delta !== null) this.#delta(choice.delta, parts);
      if (typeof choice.finish_reason === 'string') this.#finish = finishOf(choice.finish_reason);
    }
    this.#shape.learn(data, chunk);
  }

  /** Why the stream ended. @throws SluiceError where it ended neither with a finish reason nor with its end marker */
  finish(): FinishReason {
    if (this.#finish === undefined && !this.#done) throw interrupted();
    for (const call of this.#calls.values()) if (call.index < 0) throw malformed('a tool call without a name');
    const reason = this.#finish ?? 'stop';
    return reason === 'stop' && this.#started > 0 ? 'tool_calls' : reason;
  }

  #delta(delta: Delta, parts: ProviderPart[]): void {
    if (typeof delta.content === 'string') this.#text(delta.content, parts);
    if (typeof delta.refusal === 'string' && delta.refusal !== '') {
      this.#produced += delta.refusal;
      parts.push({ type: 'refusal', text: delta.refusal });
    }
    for (const call of delta.tool_calls ?? []) this.#toolCall(call, parts);
  }

  #text(text: string, parts: ProviderPart[]): void {
    if (text === '') return;
    this.#produced += text;
    parts.push({ type: 'text', text });
  }

  #toolCall(delta: ToolCallDelta, parts: ProviderPart[]): void {
    // Some servers leave the index out, or give every call 0 and another id.
    const at = delta.index ?? Math.max(0, this.#calls.size - (delta.id ? 0 : 1));
    const id = delta.id ?? '';
    const name = delta.function?.name ?? '';
    const text = delta.function?.arguments ?? '';
    let call = this.#calls.get(at);
    if (call === undefined || (id !== '' && call.id !== '' && call.id !== id)) {
      call = { index: -1, id, held: '' };
      this.#calls.set(at, call);
    }
    if (call.id === '') call.id = id;
    if (call.index < 0) {
      call.held += text;
      if (name === '') return;
      call.index = this.#started++;
      if (call.id === '')
        call.id = `call_${call.index}_${globalThis.crypto.randomUUID().replaceAll('-', '').slice(0, 16)}`;
      parts.push({ type: 'function_call', index: call.index, callId: call.id, name });
      this.#produced += name;
      if (call.held !== '') this.#arguments(call.index, call.held, parts);
    } else if (text !== '') this.#arguments(call.index, text, parts);
  }

  #arguments(index: number, delta: string, parts: ProviderPart[]): void {
    this.#produced += delta;
    parts.push({ type: 'function_arguments', index, delta });
  }
}

function finishOf(reason: string): FinishReason {
  switch (reason) {
    case 'length':
    case 'tool_calls':
    case 'content_filter':
      return reason;
    case 'function_call':
      return 'tool_calls';
    case 'error':
      throw fromErrorObject(undefined);
    default:
      // `stop`, and the other names that servers have for it (`eos`, `end_turn`, `stop_sequence`).
      return 'stop';
  }
}

function usageOf(raw: RawUsage): Usage | undefined {
  const input = raw.prompt_tokens;
  const output = raw.completion_tokens;
  if (typeof input !== 'number' || typeof output !== 'number') return undefined;
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: raw.prompt_tokens_details?.cached_tokens ?? 0,
      cache_write_tokens: raw.prompt_tokens_details?.cache_write_tokens ?? 0,
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: raw.completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens: raw.total_tokens ?? input + output,
  };
}
