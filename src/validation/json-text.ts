/*
 * Decodes the escapes of JSON text that arrives in pieces, so that guardrails judge what its reader
 * will see, and maps positions of the decoded text back. Everything else passes unchanged.
 */

const SHORT: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' };
const HEX = /^[0-9a-fA-F]{4}$/u;

interface Escape {
  /** Position of the decoded code unit. */
  readonly at: number;
  /** Code units by which the source is longer than the decoded text. */
  readonly extra: number;
}

export class JsonText {
  /** An escape that has begun and is not complete. */
  #pending = '';
  /** Decoded code units so far. */
  #decoded = 0;
  /** Escapes after the forgotten text. */
  #escapes: Escape[] = [];
  /** Sum of `extra` of the forgotten escapes. */
  #shift = 0;

  /** @returns the decoded text of the complete escapes and characters */
  push(text: string): string {
    if (this.#pending === '' && !text.includes('\\')) {
      this.#decoded += text.length;
      return text;
    }
    const source = this.#pending + text;
    this.#pending = '';
    let decoded = '';
    for (let i = 0; i < source.length;) {
      const next = source.indexOf('\\', i);
      if (next === -1) {
        decoded += source.slice(i);
        break;
      }
      decoded += source.slice(i, next);
      const length = source[next + 1] === 'u' ? 6 : 2;
      if (next + length > source.length) {
        this.#pending = source.slice(next);
        break;
      }
      const unit = decode(source.slice(next + 1, next + length));
      if (unit === undefined) {
        // This is no JSON escape, so a reader sees the source.
        decoded += source[next] ?? '';
        i = next + 1;
        continue;
      }
      this.#escapes.push({ at: this.#decoded + decoded.length, extra: length - 1 });
      decoded += unit;
      i = next + length;
    }
    this.#decoded += decoded.length;
    return decoded;
  }

  /** Ends the text. @returns the rest, with an incomplete escape unchanged */
  end(): string {
    const rest = this.#pending;
    this.#pending = '';
    this.#decoded += rest.length;
    return rest;
  }

  /** Returns the source position of a decoded position after the forgotten text. */
  sourceAt(position: number): number {
    let source = position + this.#shift;
    for (const { at, extra } of this.#escapes) {
      if (at >= position) break;
      source += extra;
    }
    return source;
  }

  /** Returns the decoded position of the end of the forgotten text. */
  judgedAt(released: number): number {
    return released - this.#shift;
  }

  /** Forgets the escapes before a source position. */
  forget(released: number): void {
    let count = 0;
    for (const { at, extra } of this.#escapes) {
      if (at + this.#shift + extra >= released) break;
      this.#shift += extra;
      count += 1;
    }
    if (count > 0) this.#escapes = this.#escapes.slice(count);
  }
}

function decode(escape: string): string | undefined {
  if (escape.length === 5) {
    const hex = escape.slice(1);
    return HEX.test(hex) ? String.fromCharCode(Number.parseInt(hex, 16)) : undefined;
  }
  return SHORT[escape] ?? escape;
}
