/*
 * Nearly every chunk of a stream equals the one before it except for its text. After the first such
 * chunk was parsed, later ones are read by comparing the bytes around the text, in a fraction of
 * the time. A chunk with any other difference is parsed.
 */

import { type ChunkContent, parseChunk } from './chat-chunk.js';
import { readFinish } from './finish-reasons.js';

const OPENING = '"content":"';
/**
 * OpenAI pads all chunks of a stream to one length with a last field of random characters. The
 * group matches the rest after it.
 */
const PADDING = /"obfuscation":"(?=[^"\\]*("[^"\\]*)$)/u;
/** Replaces the text of a chunk, to verify that this is the text that the parser reads. */
const PROBE = 'probe';
/**
 * Most attempts to find a shape. Servers that change every chunk have none, and each attempt costs
 * a parse.
 */
const MOST_ATTEMPTS = 3;

const FIRST_PRINTABLE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const FIRST_BEYOND_ASCII = 0x80;

/**
 * The fastest way to a delta's text. An event that is alone in a piece of the body, and equals
 * earlier events around its text, is not split into lines, decoded or parsed; only its text is.
 */
export class TextEventBytes {
  readonly #before: Buffer;
  readonly #after: Buffer;

  /** The bytes of the event's data before and after its text. */
  constructor(before: string, after: string) {
    this.#before = Buffer.from(`data: ${before}`);
    this.#after = Buffer.from(`${after}\n\n`);
  }

  /**
   * @returns the text if `chunk` is exactly such an event, or undefined if it must be read in full
   */
  textOf(chunk: Buffer): string | undefined {
    const from = this.#before.length;
    const to = chunk.length - this.#after.length;
    if (to <= from) return undefined;
    let encoding: 'latin1' | 'utf8' = 'latin1';
    for (let i = from; i < to; i++) {
      const byte = chunk[i] ?? 0;
      if (byte < FIRST_PRINTABLE || byte === QUOTE || byte === BACKSLASH) return undefined;
      if (byte >= FIRST_BEYOND_ASCII) encoding = 'utf8';
    }
    if (chunk.compare(this.#before, 0, from, 0, from) !== 0) return undefined;
    if (chunk.compare(this.#after, 0, this.#after.length, to) !== 0) return undefined;
    return chunk.toString(encoding, from, to);
  }
}

export class TextChunkShape {
  /** The part before the text. */
  #before = '';
  /** The part after the text, to the end or to the padding. */
  #after = '';
  /** The part after the padding; undefined if there is no padding. */
  #end: string | undefined;
  #known = false;
  #attempts = 0;
  /** The same shape for whole events, if chunks have no padding. */
  bytes: TextEventBytes | undefined;

  /** @returns the text of a chunk with the known shape, or undefined if it must be parsed */
  textOf(data: string): string | undefined {
    if (!this.#known || !data.startsWith(this.#before)) return undefined;
    const from = this.#before.length;
    const end = this.#end;
    // The first character of the part after the text is its closing quote.
    const to = end === undefined ? data.length - this.#after.length : data.indexOf(this.#after, from);
    if (to <= from) return undefined;
    if (end === undefined) {
      if (!data.endsWith(this.#after)) return undefined;
    } else if (!data.endsWith(end) || !isPlain(data, to + this.#after.length, data.length - end.length)) {
      return undefined;
    }
    return isPlain(data, from, to) ? data.slice(from, to) : undefined;
  }

  /** Derives the shape from a parsed chunk, if it has one. */
  learn(data: string, chunk: ChunkContent): void {
    const { text } = chunk;
    if (this.#known || this.#attempts >= MOST_ATTEMPTS || !holdsOnly(chunk, text)) return;
    this.#attempts += 1;
    const at = data.indexOf(`${OPENING}${text}"`);
    if (at < 0 || text === PROBE || !isPlain(text, 0, text.length)) return;
    const before = data.slice(0, at + OPENING.length);
    const rest = data.slice(at + OPENING.length + text.length);
    const padding = PADDING.exec(rest);
    const after = padding === null ? rest : rest.slice(0, padding.index + padding[0].length);
    const end = padding === null ? undefined : padding[1];
    if (!holdsOnly(parseChunk(before + PROBE + after + (end === undefined ? '' : PROBE + end)), PROBE)) return;
    this.#before = before;
    this.#after = after;
    this.#end = end;
    this.#known = true;
    if (end === undefined) this.bytes = new TextEventBytes(before, after);
  }
}

/**
 * Whether JSON writes this text without escapes, so that it can be replaced without other changes.
 */
function isPlain(text: string, from: number, to: number): boolean {
  if (from > to) return false;
  for (let i = from; i < to; i++) {
    const unit = text.charCodeAt(i);
    if (unit < FIRST_PRINTABLE || unit === QUOTE || unit === BACKSLASH) return false;
  }
  return true;
}

/** Whether the chunk contains this text and nothing else. */
function holdsOnly(chunk: ChunkContent, text: string): boolean {
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
