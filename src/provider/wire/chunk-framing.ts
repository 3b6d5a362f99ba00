/*
 * Reads the framing of a chunked HTTP body (RFC 9112, section 7.1): chunks of data, each behind a
 * line with its size. Leaves the last chunk and lines of any other form to the HTTP client. Knows
 * no socket.
 */

const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
/** A size of more digits is left to the HTTP client, which refuses it. */
const MOST_DIGITS = 8;

export class ChunkFraming {
  /** Number of bytes that the open chunk still lacks. */
  #missing = 0;
  /** Number of bytes that the line end behind its data still lacks. */
  #lineEnd = 0;
  /** The start of a size line whose rest has not arrived. */
  #cut: Buffer | undefined;

  /** Whether the next byte begins a chunk. */
  get atStart(): boolean {
    return this.#missing === 0 && this.#lineEnd === 0 && this.#cut === undefined;
  }

  /**
   * Passes the data of the chunks to `take`.
   * @returns the bytes from the first chunk that is left to the HTTP client, or undefined
   * @throws Error if the data of a chunk is longer than its size
   */
  read(bytes: Buffer, take: (data: Buffer) => void): Buffer | undefined {
    if (this.#cut !== undefined) {
      bytes = Buffer.concat([this.#cut, bytes]);
      this.#cut = undefined;
    }
    for (let at = 0; at < bytes.length;) {
      if (this.#missing > 0) at = this.#takeData(bytes, at, take);
      else if (this.#lineEnd > 0) this.#takeLineEnd(bytes[at++]);
      else {
        const dataAt = this.#openChunk(bytes, at);
        if (dataAt < 0) return bytes.subarray(at);
        at = dataAt;
      }
    }
    return undefined;
  }

  #takeData(bytes: Buffer, at: number, take: (data: Buffer) => void): number {
    const end = Math.min(at + this.#missing, bytes.length);
    this.#missing -= end - at;
    if (this.#missing === 0) this.#lineEnd = 2;
    take(bytes.subarray(at, end));
    return end;
  }

  #takeLineEnd(byte: number | undefined): void {
    if (byte !== (this.#lineEnd === 2 ? CARRIAGE_RETURN : LINE_FEED)) {
      throw new Error('unable to read the body; a chunk is longer than its size');
    }
    this.#lineEnd -= 1;
  }

  /**
   * Reads the size line of a chunk. Keeps a line whose end has not arrived.
   * @returns the index behind the line, or -1 if the chunk is left to the HTTP client
   */
  #openChunk(bytes: Buffer, from: number): number {
    let size = 0;
    let at = from;
    for (; at < bytes.length; at++) {
      const digit = digitOf(bytes[at] ?? 0);
      if (digit < 0) break;
      size = size * 16 + digit;
    }
    if (at - from > MOST_DIGITS) return -1;
    if (at === bytes.length || (at + 1 === bytes.length && bytes[at] === CARRIAGE_RETURN)) {
      this.#cut = Buffer.from(bytes.subarray(from));
      return bytes.length;
    }
    if (size === 0 || bytes[at] !== CARRIAGE_RETURN || bytes[at + 1] !== LINE_FEED) return -1;
    this.#missing = size;
    return at + 2;
  }
}

/** Returns the value of a hexadecimal digit, or -1. */
function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}
