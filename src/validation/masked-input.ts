/*
 * Masks values in the input of one turn and restores them in the answer. The provider receives
 * placeholders only. Exists as long as its turn.
 */

import { type CompiledGuardrail, type Edit, type Mask } from './guardrail.js';

export class MaskedInput {
  readonly #masks: readonly Mask[];
  readonly #placeholders = new Map<string, string>();
  readonly #values = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  constructor(guardrails: readonly CompiledGuardrail[]) {
    this.#masks = guardrails.flatMap(({ mask }) => (mask === undefined ? [] : [mask]));
  }

  /** Whether a guardrail masks anything. */
  get masks(): boolean {
    return this.#masks.length > 0;
  }

  /** The masked values. Empty: nothing was masked. */
  get values(): ReadonlySet<string> {
    return new Set(this.#placeholders.keys());
  }

  /**
   * Replaces what the masks find. The same value has the same placeholder in all texts.
   * @param isTaken whether a text of the input already holds a placeholder by chance
   */
  mask(text: string, isTaken: (placeholder: string) => boolean): string {
    return this.#masks.reduce((masked, mask) => {
      let shown = '';
      let at = 0;
      for (const { from, to, reason } of mask.find(masked)) {
        shown += masked.slice(at, from) + this.#placeholderOf(masked.slice(from, to), reason, isTaken);
        at = to;
      }
      return shown + masked.slice(at);
    }, text);
  }

  /** What the masks find in a text. */
  findIn(text: string): readonly Edit[] {
    return this.#masks.flatMap((mask) => mask.find(text));
  }

  /**
   * Returns a stream that restores values. @param json whether they are restored inside JSON text
   */
  restoring(json: boolean): RestoredText {
    return new RestoredText(
      new Map([...this.#values].map(([name, value]) => [name, json ? JSON.stringify(value).slice(1, -1) : value])),
    );
  }

  #placeholderOf(value: string, reason: string, isTaken: (placeholder: string) => boolean): string {
    const known = this.#placeholders.get(value);
    if (known !== undefined) return known;
    let count = this.#counts.get(reason) ?? 0;
    let placeholder: string;
    do placeholder = `[${reason.toUpperCase()}_${++count}]`;
    while (isTaken(placeholder));
    this.#counts.set(reason, count);
    this.#placeholders.set(value, placeholder);
    this.#values.set(placeholder, value);
    return placeholder;
  }
}

/** Restores values in text that arrives in pieces. */
export class RestoredText {
  #open = '';
  readonly #longest: number;

  constructor(private readonly values: ReadonlyMap<string, string>) {
    this.#longest = Math.max(...[...values.keys()].map(({ length }) => length));
  }

  get held(): number {
    return this.#open.length;
  }

  /** Reads more text. @returns the text up to what may still become a placeholder */
  push(text: string): string {
    if (this.#open === '' && !text.includes('[')) return text;
    const all = this.#open + text;
    let shown = '';
    let at = 0;
    this.#open = '';
    for (let begin = all.indexOf('['); begin !== -1; begin = all.indexOf('[', at)) {
      shown += all.slice(at, begin);
      const end = all.indexOf(']', begin);
      const name = all.slice(begin, end === -1 ? undefined : end + 1);
      const value = this.values.get(name);
      if (value === undefined && end === -1 && this.#mayBecome(name)) {
        this.#open = name;
        return shown;
      }
      shown += value ?? '[';
      at = value === undefined ? begin + 1 : end + 1;
    }
    return shown + all.slice(at);
  }

  /** Ends the text. @returns the text that was held back */
  end(): string {
    const rest = this.#open;
    this.#open = '';
    return rest;
  }

  #mayBecome(text: string): boolean {
    if (text.length >= this.#longest) return false;
    for (const name of this.values.keys()) if (name.startsWith(text)) return true;
    return false;
  }
}
