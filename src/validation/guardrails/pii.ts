/*
 * The guardrail `pii`: e-mail addresses, phone numbers, cards, IBANs and API keys. It replaces
 * them, or denies the text. In input a replacement is a placeholder that only the turn can read
 * back: masked-input.ts does that.
 */

import {
  ALLOW,
  type CompiledGuardrail,
  type Denial,
  type Edit,
  type Mask,
  type OutputContext,
  type OutputRun,
  type Stop,
  type Verdict,
} from '../guardrail.js';
import { type KindContext } from '../kind-context.js';
import { Params } from './params.js';
import { findPii, PII_PATTERNS, PII_TYPES, type PiiType } from './pii-patterns.js';
import { RegexProgram } from './regex-program.js';
import { RegexScan } from './regex-scan.js';

/** `params.action`: `redact` (the default) or `deny`; `params.types`: which of PII_TYPES. */
export function compilePii(given: Readonly<Record<string, unknown>>, { message }: KindContext): CompiledGuardrail[] {
  const params = new Params('pii', given, ['action', 'types']);
  const action = params.oneOf('action', ['redact', 'deny'], 'redact');
  const named = params.has('types') ? params.stringsUnderOneOf(['types']) : PII_TYPES;
  const types = PII_TYPES.filter((type) => named.includes(type));
  named.forEach((name, i) => {
    if (!PII_TYPES.some((type) => type === name))
      params.mistake(`types[${i}]`, `must be one of ${PII_TYPES.join(', ')}`);
  });
  params.throwMistakes();
  return [new Pii(types, action, message)];
}

class Pii implements CompiledGuardrail {
  readonly type = 'pii';
  readonly mask?: Mask;
  readonly #program: RegexProgram;

  constructor(
    private readonly types: readonly PiiType[],
    private readonly action: 'redact' | 'deny',
    private readonly message: string | undefined,
  ) {
    this.#program = new RegexProgram(types.map((type) => `(?:${PII_PATTERNS[type].pattern})`).join('|'));
    if (action === 'redact') this.mask = { find: (text) => findPii(text, types).map(editOf) };
  }

  checkInput(texts: readonly string[]): Verdict {
    if (this.action === 'redact') return ALLOW;
    for (const text of texts) {
      const [found] = findPii(text, this.types);
      if (found === undefined) continue;
      return { decision: 'deny', position: found.from, ...this.#denial(found.type, 'This message contains') };
    }
    return ALLOW;
  }

  startOutput({ known }: OutputContext): OutputRun {
    return new PiiRun(new RegexScan(this.#program, true), (text) => findPii(text, this.types), {
      denies:
        this.action === 'deny' ? (type) => this.#denial(type, 'The answer ends here because it contained') : undefined,
      known,
    });
  }

  #denial(type: PiiType, before: string): Denial {
    return { reason: type, message: this.message ?? `${before} personal data or a secret.` };
  }
}

interface RunOptions {
  /** Absent: what is found is replaced. */
  readonly denies: ((type: PiiType) => Denial) | undefined;
  /** Values of the caller's own input, which may be shown. */
  readonly known: ReadonlySet<string> | undefined;
}

/**
 * Collects text while a candidate may still continue. When no candidate is open, the collected text
 * is searched as a whole.
 */
class PiiRun implements OutputRun {
  stop: Stop | undefined;
  readonly edits: Edit[] = [];
  /** Text from `#from` on, and the character before it, which decides on a word boundary. */
  #open = '';
  #from = 0;
  #before = '';
  #seen = 0;

  constructor(
    private readonly scan: RegexScan,
    private readonly find: (text: string) => ReturnType<typeof findPii>,
    private readonly options: RunOptions,
  ) {}

  push(text: string): number {
    if (this.stop !== undefined) return this.stop.position;
    this.#open += text;
    this.#seen += text.length;
    let quiet = -1;
    this.scan.push(text, (from) => {
      // Nothing that began before this character is open.
      if (this.scan.safe >= from) quiet = from;
    });
    if (this.scan.safe === this.#seen) quiet = this.#seen;
    if (quiet > this.#from) this.#settle(quiet, false);
    return this.#decided();
  }

  end(): number {
    if (this.stop !== undefined) return this.stop.position;
    this.scan.end();
    this.#settle(this.#seen, true);
    return this.#decided();
  }

  #decided(): number {
    return this.stop?.position ?? this.#from;
  }

  /** Searches the text before `position`, with one character behind it if there is one. */
  #settle(position: number, ended: boolean): void {
    const length = position - this.#from;
    const context = this.#before.length;
    const text = this.#before + this.#open.slice(0, ended ? length : length + 1);
    if (this.scan.matched !== -1) {
      const found = this.find(text);
      // A finding that crosses the position may still become longer. Keep the text.
      if (found.some(({ to }) => to > length + context)) return;
      if (position === this.#seen) this.scan.forget();
      for (const { type, from, to } of found) {
        this.#take(type, this.#from - context + from, this.#from - context + to, text.slice(from, to));
        if (this.stop !== undefined) return;
      }
    }
    this.#before = this.#open.slice(Math.max(0, length - 1), length);
    this.#open = this.#open.slice(length);
    this.#from = position;
  }

  #take(type: PiiType, from: number, to: number, value: string): void {
    const { denies, known } = this.options;
    if (known?.has(value) === true) return;
    if (denies === undefined) this.edits.push(editOf({ type, from, to }));
    else this.stop = { position: from, ...denies(type) };
  }
}

function editOf({ type, from, to }: ReturnType<typeof findPii>[number]): Edit {
  return { from, to, replacement: `[${type.replace('_', ' ')}]`, reason: type };
}
