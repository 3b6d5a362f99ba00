/*
 * Reads the body of an answer by its content, not by its headers: a stream of events, or one whole
 * JSON document. The first byte that is neither a blank nor a byte order mark decides.
 */

import { SseEvents, type SseEvent } from './sse-events.js';

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const BLANKS: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0d, 0x20]);
const OPENING_BRACE = 0x7b;
const OPENING_BRACKET = 0x5b;
const LESS_THAN = 0x3c;
const MAX_DOCUMENT_BYTES = 8 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** Thrown for a body that is an HTML page. */
export class NotAnAnswer extends Error {}

export class AnswerBody {
  readonly #sse = new SseEvents();
  #kind: 'unknown' | 'events' | 'document' = 'unknown';
  #head: Buffer = NOTHING;
  #document: Buffer[] = [];
  #bytes = 0;

  /** Whether the next byte begins an event of a stream. */
  get atStart(): boolean {
    return this.#kind === 'events' && this.#sse.atStart;
  }

  /** Whether the body is one JSON document, complete when it ends. */
  get whole(): boolean {
    return this.#kind === 'document';
  }

  /**
   * @returns the events that `chunk` completes.
   * @throws NotAnAnswer, or Error if the body exceeds its bounds
   */
  push(chunk: Buffer): SseEvent[] {
    if (this.#kind === 'events') return this.#sse.push(chunk);
    return this.#kind === 'document' ? this.#keep(chunk) : this.#decide(chunk);
  }

  /**
   * @returns the rest when the body has ended: a JSON document as one event, or one event for each
   * line
   */
  end(): SseEvent[] {
    if (this.#kind !== 'document') return this.#sse.end();
    const text = Buffer.concat(this.#document).toString('utf8');
    this.#document = [];
    return isJson(text) ? [text] : text.split('\n').filter((line) => line.trim() !== '');
  }

  #decide(chunk: Buffer): SseEvent[] {
    const bytes = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    const start = startOf(bytes);
    if (start < 0) {
      // Keep a partial byte order mark for the next chunk; drop blanks.
      this.#head = bytes[0] === BYTE_ORDER_MARK[0] && bytes.length < 3 ? Buffer.from(bytes) : NOTHING;
      return [];
    }
    const first = bytes[start];
    if (first === LESS_THAN) throw new NotAnAnswer('a page of HTML');
    this.#kind = first === OPENING_BRACE || first === OPENING_BRACKET ? 'document' : 'events';
    return this.push(bytes.subarray(start));
  }

  #keep(chunk: Buffer): SseEvent[] {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_DOCUMENT_BYTES) throw new Error('unable to read the answer; it is longer than 8 MiB');
    this.#document.push(Buffer.from(chunk));
    return [];
  }
}

/** Returns the index of the first significant byte, or -1 if there is none. */
function startOf(bytes: Buffer): number {
  let at = 0;
  if (bytes[0] === BYTE_ORDER_MARK[0]) {
    if (bytes.length < BYTE_ORDER_MARK.length) return -1;
    if (BYTE_ORDER_MARK.equals(bytes.subarray(0, 3))) at = 3;
  }
  while (at < bytes.length && BLANKS.has(bytes[at] ?? 0)) at++;
  return at < bytes.length ? at : -1;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
