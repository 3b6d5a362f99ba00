/*
 * Nearly every chunk of a stream is the one before it with another text in it. Once the first such chunk was parsed, the others are read
 * by comparing what stands before and after the text, at a fraction of a parse's time; whatever differs in one character is parsed.
 */

import { type ChunkContent, parseChunk } from './chat-chunk.js';
import { readFinish } from './finish-reasons.js';
import { TextEventBytes } from './text-event-bytes.js';

const OPENING = '"content":"';
/** OpenAI makes all chunks of a stream equally long with a last field of random characters; what follows them is the match's group. */
const PADDING = /"obfuscation":"(?=[^"\\]*("[^"\\]*)$)/u;
/** Exchanged for the text of a chunk, to see that it is the text that is read there. */
const PROBE = 'probe';
/** Servers that put something new into every chunk have no shape; looking for one costs a parse. */
const MOST_ATTEMPTS = 3;

export class TextChunkShape {
  /** Up to the text. */
  #before = '';
  /** From the text on: to the end, or up to the padding. */
  #after = '';
  /** After the padding; undefined: there is none. */
  #end: string | undefined;
  #known = false;
  #attempts = 0;
  /** The same shape for whole events, where chunks have no padding. */
  bytes: TextEventBytes | undefined;

  /** The text of a chunk that has the known shape; undefined: it has to be parsed. */
  textOf(data: string): string | undefined {
    if (!this.#known || !data.startsWith(this.#before)) return undefined;
    const from = this.#before.length;
    const end = this.#end;
    // Its first character is the quote that ends the text.
    const to = end === undefined ? data.length - this.#after.length : data.indexOf(this.#after, from);
    if (to <= from) return undefined;
    if (end === undefined) {
      if (!data.endsWith(this.#after)) return undefined;
    } else if (!data.endsWith(end) || !isPlain(data, to + this.#after.length, data.length - end.length)) {
      return undefined;
    }
    return isPlain(data, from, to) ? data.slice(from, to) : undefined;
  }

  /** Looks for the shape in a chunk that was parsed. */
  learn(data: string, chunk: ChunkContent): void {
    const { text } = chunk;
    if (this.#known || this.#attempts >= MOST_ATTEMPTS || !saysOnly(chunk, text)) return;
    this.#attempts += 1;
    const at = data.indexOf(`${OPENING}${text}"`);
    if (at < 0 || text === PROBE || !isPlain(text, 0, text.length)) return;
    const before = data.slice(0, at + OPENING.length);
    const rest = data.slice(at + OPENING.length + text.length);
    const padding = PADDING.exec(rest);
    const after = padding === null ? rest : rest.slice(0, padding.index + padding[0].length);
    const end = padding === null ? undefined : padding[1];
    if (!saysOnly(parseChunk(before + PROBE + after + (end === undefined ? '' : PROBE + end)), PROBE)) return;
    this.#before = before;
    this.#after = after;
    this.#end = end;
    this.#known = true;
    if (end === undefined) this.bytes = new TextEventBytes(before, after);
  }
}

/** Whether JSON writes this text without escapes, so that it can be replaced without changing anything around it. */
function isPlain(text: string, from: number, to: number): boolean {
  if (from > to) return false;
  for (let i = from; i < to; i++) {
    const unit = text.charCodeAt(i);
    if (unit < FIRST_PRINTABLE || unit === QUOTE || unit === BACKSLASH) return false;
  }
  return true;
}

const FIRST_PRINTABLE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether the chunk says this text and nothing else. */
function saysOnly(chunk: ChunkContent, text: string): boolean {
  return (
    text !== '' &&
    chunk.text === text &&
    !chunk.isMessage &&
    chunk.error === undefined &&
    chunk.choiceIndex === 0 &&
    chunk.reasoning === '' &&
    chunk.refusal === '' &&
    chunk.calls.length === 0 &&
    chunk.usage === undefined &&
    readFinish(chunk.finishReason) === undefined
  );
}
