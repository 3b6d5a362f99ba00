/*
 * The fastest way to a delta's text. An event that is alone in a piece of the body, and equals
 * earlier events around its text, is not split into lines, decoded or parsed; only its text is.
 */

const FIRST_PRINTABLE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const FIRST_BEYOND_ASCII = 0x80;

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
