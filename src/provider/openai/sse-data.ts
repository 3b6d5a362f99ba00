/*
 * Bytes of an SSE stream into the data of its events. Just what model servers send: `data:` lines, comments, other fields
 * passed over, LF or CRLF. Cuts at newline bytes before decoding, so no character is ever split.
 */

const NEWLINE = 0x0a;
/** A line longer than this is no chat chunk; it would only eat memory. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;

export class SseData {
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** Data lines of an event that has not ended yet; events of several data lines are rare. */
  #pending: string | undefined;

  /** Does the next byte begin an event? */
  get atStart(): boolean {
    return this.#restBytes === 0 && this.#pending === undefined;
  }

  /** The data of every event that `chunk` completes, oldest first. @throws Error where a line is beyond all measure */
  push(chunk: Buffer): string[] {
    const last = chunk.lastIndexOf(NEWLINE);
    if (last < 0) {
      this.#keep(chunk);
      return [];
    }
    let text: string;
    if (this.#restBytes === 0) text = chunk.toString('utf8', 0, last);
    else {
      // Joined as bytes: the cut may stand inside a character.
      this.#rest.push(chunk.subarray(0, last));
      text = Buffer.concat(this.#rest).toString('utf8');
      this.#rest = [];
      this.#restBytes = 0;
    }
    if (last + 1 < chunk.length) this.#keep(chunk.subarray(last + 1));

    const data: string[] = [];
    for (let start = 0; start <= text.length;) {
      const newline = text.indexOf('\n', start);
      const end = newline < 0 ? text.length : newline;
      this.#line(text, start, end > start && text.charCodeAt(end - 1) === 0x0d ? end - 1 : end, data);
      start = end + 1;
    }
    return data;
  }

  /** What a stream that ended without its last empty line still had to say. */
  end(): string[] {
    const data = this.#restBytes > 0 ? this.push(Buffer.from('\n\n')) : [];
    if (this.#pending !== undefined) data.push(this.#pending);
    this.#pending = undefined;
    return data;
  }

  #line(text: string, start: number, end: number, data: string[]): void {
    if (start === end) {
      if (this.#pending !== undefined) data.push(this.#pending);
      this.#pending = undefined;
    } else if (text.startsWith('data:', start)) {
      const from = text.charCodeAt(start + 5) === 0x20 ? start + 6 : start + 5;
      const line = text.slice(Math.min(from, end), end);
      this.#pending = this.#pending === undefined ? line : `${this.#pending}\n${line}`;
    }
  }

  #keep(chunk: Buffer): void {
    this.#restBytes += chunk.length;
    if (this.#restBytes > MAX_LINE_BYTES) throw new Error('unable to read the stream; one line is longer than 8 MiB');
    // A copy: the socket's buffer is used again.
    this.#rest.push(Buffer.from(chunk));
  }
}
