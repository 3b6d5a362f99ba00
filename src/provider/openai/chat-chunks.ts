/*
 * Converts the events of one chat completions answer to parts, and decides whether it is complete.
 * Knows no network.
 */

import { type Usage } from '../../domain/response.js';
import { type FinishReason, type ProviderPart } from '../provider.js';
import { type SseEvent } from '../wire/sse-events.js';
import { type ChunkContent, parseChunk } from './chat-chunk.js';
import { cutBy, fromErrorObject, interrupted, malformed } from './chat-errors.js';
import { readLogprobs } from './chat-logprobs.js';
import { type ChatFinish, readFinish } from './finish-reasons.js';
import { TextChunkShape, type TextEventBytes } from './text-chunk-shape.js';
import { ToolCalls } from './tool-calls.js';

/** Data that proxies send to keep a connection open. */
const SIGN_OF_LIFE = /^(?:ping|pong|keep[-_ ]?alive|heart[-_ ]?beat|:.*|)$/iu;
const END_MARKER = /^\[?done\]?$/iu;

export class ChatChunkReader {
  readonly #wantsLogprobs: boolean;
  readonly #shape = new TextChunkShape();
  readonly #calls = new ToolCalls();
  /** The effective finish reason, as the server wrote it. */
  #finishReason: string | null = null;
  /** What it means; undefined until there is one. */
  #finish: ChatFinish | undefined;
  /** Whether that reason means that the answer was cut. */
  #broken = false;
  /** Length of all output at the first `stop`; undefined until then. */
  #stopAt: number | undefined;
  /** Whether that `stop` came after the output, in a chunk of its own. */
  #stopAlone = false;
  #usage: Usage | undefined;
  /** Length of all output when `#usage` arrived. A count that text followed is not final. */
  #usageAt = 0;
  /** Whether a count arrived after the finish reason, in a chunk without a choice. */
  #lastCount = false;
  #done = false;
  #text = '';
  #reasoning = '';
  #others = '';
  /**
   * Index of the last choice, whether two chunks with output had it, and whether it has increased.
   */
  #choice = 0;
  #choiceRepeated = false;
  #skipped = false;

  /** @param wantsLogprobs whether the request asked for log probabilities */
  constructor(wantsLogprobs = false) {
    this.#wantsLogprobs = wantsLogprobs;
  }

  /**
   * Whether the answer is complete: the end marker arrived, or the count after the finish reason.
   */
  get done(): boolean {
    return this.#done || this.#lastCount;
  }
  /** Whether the model has finished: usually only usage and the end marker follow. */
  get finished(): boolean {
    return this.#finish !== undefined;
  }
  /** Whether nothing contradicts that: some servers set `stop` on every chunk. */
  get finishedLast(): boolean {
    return this.finished && (this.#finish !== 'stop' || this.#stopAt === this.producedLength);
  }
  /**
   * Whether a short silence shows that nothing follows. After a `stop` beside output, the next
   * chunk may have output again.
   */
  get finishedAlone(): boolean {
    return this.finishedLast && (this.#finish !== 'stop' || this.#stopAlone);
  }
  /**
   * The provider's last count. Undefined if text followed it, or if it has no output tokens
   * although there is output.
   */
  get usage(): Usage | undefined {
    if (this.#usage === undefined || this.#usageAt !== this.producedLength) return undefined;
    return this.#usage.output_tokens === 0 && this.producedLength > 0 ? undefined : this.#usage;
  }
  /** All text, refusals and arguments received, for an estimate if no usage arrives. */
  get produced(): string {
    return this.#text + this.#others;
  }
  get reasoning(): string {
    return this.#reasoning;
  }
  /** Number of characters that the model has written. */
  get producedLength(): number {
    return this.#text.length + this.#reasoning.length + this.#others.length;
  }

  /** The shape for reading whole events by their bytes, once it is known. */
  get textBytes(): TextEventBytes | undefined {
    return this.#done ? undefined : this.#shape.bytes;
  }

  /** Takes the text of an event of which only the text was read. Its part is the caller's. */
  addText(text: string): void {
    this.#text += text;
  }

  /**
   * Adds the parts of one event to `parts`.
   * @throws SluiceError for an error of the provider, or an invalid chunk
   */
  push(event: SseEvent, parts: ProviderPart[]): void {
    if (this.#done) return;
    if (typeof event !== 'string') return this.#named(event.name, event.data, parts);
    const text = this.#shape.textOf(event);
    if (text !== undefined) return this.#addText(text, parts);
    const first = event.charCodeAt(0);
    if (first !== OPENING_BRACE && this.#isMarker(event)) return;
    const chunk = parseChunk(event);
    this.#take(chunk, parts);
    // Log probabilities are different in each chunk, so there is no shape to learn.
    if (!this.#wantsLogprobs) this.#shape.learn(event, chunk);
  }

  /** Marks a whole document as ended; nothing more follows. */
  endDocument(): void {
    this.#done = true;
  }

  /**
   * Adds the missing last parts and the reason of the end.
   * @throws SluiceError if the answer ended without a finish reason or end marker, without any
   * output, or by a reason that is not an end
   */
  finish(parts: ProviderPart[]): FinishReason {
    const reason = this.#reason();
    this.#calls.end(parts);
    return reason === 'stop' && this.#calls.started > 0 ? 'tool_calls' : reason;
  }

  #reason(): FinishReason {
    const finish = this.#finish;
    const empty = this.producedLength === 0 && this.#calls.started === 0;
    switch (finish) {
      case undefined:
        // Without a finish reason, only the end marker completes an answer; a closed connection
        // does not.
        if (!this.#done || this.#skipped || (this.#text === '' && this.#others === '' && this.#calls.started === 0))
          throw interrupted();
        return 'stop';
      case 'failed':
        throw fromErrorObject(undefined);
      case 'interrupted':
      case 'unknown':
        throw cutBy(this.#finishReason ?? '');
      case 'stop':
      case 'tool_calls':
        if (empty && (this.#usage?.output_tokens ?? 0) === 0) throw interrupted();
        return finish;
      case 'length':
      case 'content_filter':
        return finish;
    }
  }

  #isMarker(data: string): boolean {
    const text = data.trim();
    if (END_MARKER.test(text)) this.#done = true;
    return this.#done || SIGN_OF_LIFE.test(text);
  }

  #named(name: string, data: string, parts: ProviderPart[]): void {
    if (/error|exception|fail/iu.test(name)) throw fromErrorObject(errorIn(data));
    if (!SIGN_OF_LIFE.test(name)) this.push(data, parts);
  }

  #take(chunk: ChunkContent, parts: ProviderPart[]): void {
    if (chunk.error !== undefined) throw fromErrorObject(chunk.error);
    const had = this.finished;
    if (chunk.choiceIndex === undefined || this.#isOurs(chunk, chunk.choiceIndex)) this.#addContent(chunk, parts);
    if (chunk.usage === undefined) return;
    if (chunk.usage.output_tokens > 0 || this.producedLength === 0) {
      this.#usage = chunk.usage;
      this.#usageAt = this.producedLength;
      this.#lastCount = had && chunk.choiceIndex === undefined;
    }
  }

  #addContent(chunk: ChunkContent, parts: ProviderPart[]): void {
    const lengthBefore = this.producedLength;
    if (chunk.reasoning !== '') {
      this.#reasoning += chunk.reasoning;
      parts.push({ type: 'reasoning', text: chunk.reasoning });
    }
    if (chunk.summary !== '') {
      this.#reasoning += chunk.summary;
      parts.push({ type: 'reasoning_summary', text: chunk.summary });
    }
    if (this.#wantsLogprobs) this.#addLogprobs(chunk, parts);
    this.#addText(chunk.isMessage ? this.#newText(chunk.text) : chunk.text, parts);
    if (chunk.refusal !== '') {
      this.#others += chunk.refusal;
      parts.push({ type: 'refusal', text: chunk.refusal });
    }
    if (chunk.calls.length > 0) {
      this.#calls.push(chunk.calls, parts);
      for (const call of chunk.calls) this.#others += call.name + call.arguments;
    }
    const finish = readFinish(chunk.finishReason);
    // An answer that was cut stays cut, whatever later chunks contain.
    if (finish !== undefined && !this.#broken) {
      this.#finishReason = chunk.finishReason;
      this.#finish = finish;
      this.#broken = finish === 'failed' || finish === 'interrupted' || finish === 'unknown';
      if (finish === 'stop' && this.#stopAt === undefined) {
        this.#stopAt = this.producedLength;
        this.#stopAlone = lengthBefore > 0 && this.#stopAt === lengthBefore;
      }
    }
  }

  #addLogprobs({ logprobs, reasoning, summary }: ChunkContent, parts: ProviderPart[]): void {
    // Some servers send those of the reasoning in the same field.
    if (reasoning !== '' || summary !== '') return;
    const tokens = readLogprobs(logprobs);
    if (tokens.length > 0) parts.push({ type: 'logprobs', tokens });
  }

  #addText(text: string, parts: ProviderPart[]): void {
    if (text === '') return;
    this.#text += text;
    parts.push({ type: 'text', text });
  }

  /** Returns the new text of a message that may repeat earlier text. */
  #newText(text: string): string {
    return this.#text !== '' && text.startsWith(this.#text) ? text.slice(this.#text.length) : text;
  }

  /**
   * Whether a chunk belongs to the requested answer. Some servers count their chunks in the
   * choice's index, others send a second answer.
   * @throws SluiceError if the chunks may be two mixed answers
   */
  #isOurs(chunk: ChunkContent, index: number): boolean {
    const hasOutput = chunk.text !== '' || chunk.reasoning !== '' || chunk.summary !== '' || chunk.calls.length > 0;
    if (index === this.#choice) {
      this.#choiceRepeated ||= hasOutput && this.producedLength > 0;
      return true;
    }
    if (index === this.#choice + 1 && this.producedLength > 0 && !this.#choiceRepeated) {
      this.#choice = index;
      return true;
    }
    if (index < this.#choice && hasOutput) throw malformed('several answers in one stream');
    this.#skipped ||= hasOutput;
    return false;
  }
}

const OPENING_BRACE = 0x7b;

function errorIn(data: string): unknown {
  try {
    const value: unknown = JSON.parse(data);
    const inner = typeof value === 'object' && value !== null && 'error' in value ? value.error : value;
    return inner ?? value;
  } catch {
    return data;
  }
}
