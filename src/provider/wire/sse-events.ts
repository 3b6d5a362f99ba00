/*
 * Splits the bytes of an SSE stream into events as model servers send them: `data:` lines,
 * comments, event names, LF or CRLF. Cuts at newline bytes before decoding, so that no character is
 * split.
 */

const NEWLINE = 0x0a;
/** A longer line cannot be a chunk of an answer and would only use memory. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;

/** An event with a significant name: neither absent nor `message`. */
interface NamedEvent {
  readonly name: string;
  readonly data: string;
}
/** An ordinary event is represented by its data alone, because nearly all events are ordinary. */
export type SseEvent = string | NamedEvent;

export class SseEvents {
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** Data lines of the incomplete event. Events of several data lines are rare. */
  #pending: string | undefined;
  #name = '';

  /** Whether the next byte begins an event. */
  get atStart(): boolean {
    return this.#restBytes === 0 && this.#pending === undefined && this.#name === '';
  }

  /**
   * @returns every event that `chunk` completes, oldest first.
   * @throws Error if a line exceeds 8 MiB
   */
  push(chunk: Buffer): SseEvent[] {
    const last = chunk.lastIndexOf(NEWLINE);
    if (last < 0) {
      this.#keep(chunk);
      return [];
    }
    let text: string;
    if (this.#restBytes === 0) text = chunk.toString('utf8', 0, last);
    else {
      // Join bytes, not text: the cut may be inside a character.
      this.#rest.push(chunk.subarray(0, last));
      text = Buffer.concat(this.#rest).toString('utf8');
      this.#rest = [];
      this.#restBytes = 0;
    }
    if (last + 1 < chunk.length) this.#keep(chunk.subarray(last + 1));

    const events: SseEvent[] = [];
    for (let start = 0; start <= text.length;) {
      const newline = text.indexOf('\n', start);
      const end = newline < 0 ? text.length : newline;
      this.#line(text, start, end > start && text.charCodeAt(end - 1) === 0x0d ? end - 1 : end, events);
      start = end + 1;
    }
    return events;
  }

  /** @returns the remaining events of a stream that ended without its last empty line */
  end(): SseEvent[] {
    const events = this.#restBytes > 0 ? this.push(Buffer.from('\n\n')) : [];
    this.#dispatch(events);
    return events;
  }

  #line(text: string, start: number, end: number, events: SseEvent[]): void {
    if (start === end) this.#dispatch(events);
    else if (text.startsWith('data:', start)) {
      const line = valueOf(text, start + 5, end);
      this.#pending = this.#pending === undefined ? line : `${this.#pending}\n${line}`;
    } else if (text.startsWith('event:', start)) this.#name = valueOf(text, start + 6, end).trim();
    // llama.cpp reports an error in an `error:` field.
    else if (text.startsWith('error:', start)) events.push({ name: 'error', data: valueOf(text, start + 6, end) });
  }

  #dispatch(events: SseEvent[]): void {
    const data = this.#pending;
    const name = this.#name;
    this.#pending = undefined;
    this.#name = '';
    if (name === '' || name === 'message') {
      if (data !== undefined) events.push(data);
    } else if (data !== undefined || name === 'error') events.push({ name, data: data ?? '' });
  }

  #keep(chunk: Buffer): void {
    this.#restBytes += chunk.length;
    if (this.#restBytes > MAX_LINE_BYTES) throw new Error('unable to read the stream; one line is longer than 8 MiB');
    // Copy: the socket's buffer is reused.
    this.#rest.push(Buffer.from(chunk));
  }
}

/** Returns the value of a field whose name ends before `from`, without one leading space. */
function valueOf(text: string, from: number, end: number): string {
  return text.slice(Math.min(text.charCodeAt(from) === 0x20 ? from + 1 : from, end), end);
}
