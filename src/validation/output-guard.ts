/*
 * The output guard filters the provider's text before any viewer receives it. It releases only text
 * that every guardrail has declared safe, and never takes released text back. How the text is cut
 * into deltas changes neither the verdict nor the released text.
 */

import { type Finding } from '../domain/response.js';
import { GuardCore } from './guard-core.js';
import { type CompiledGuardrail, type OutputContext } from './guardrail.js';
import { JsonText } from './json-text.js';
import { type RestoredText } from './masked-input.js';

export interface GuardStep {
  /** Text to show now. Continues the released text without a gap. */
  readonly release: string;
  /** The output ends after `release`. Text that is pushed later is dropped. */
  readonly stop?: { readonly finding: Finding; readonly message: string };
  /** With the last step only. */
  readonly notes?: readonly Finding[];
}

/** One text's guard. Call `end` unless a step stopped it. */
export interface OutputGuard {
  push(text: string): GuardStep;
  end(): GuardStep;
  /**
   * Resolves when a guardrail may have decided more; then push an empty text. Undefined: nothing
   * is outstanding.
   */
  waiting?(): Promise<unknown> | undefined;
  /**
   * Requests the verdicts on a text that has ended. Resolves when all have arrived and `end` may be
   * called.
   */
  conclude?(): Promise<void>;
  /** Code units that are held back. */
  readonly held?: number;
}

/** Wraps a guard, for example to time its checks. */
export type WrapGuard = (guard: OutputGuard) => OutputGuard;

export interface OutputGuardOptions {
  /** Whether the text is JSON. It is judged in decoded form and released unchanged. */
  readonly json?: boolean;
  readonly context?: OutputContext;
}

const ALONE: OutputContext = { signal: new AbortController().signal };

export function createOutputGuard(
  guardrails: readonly CompiledGuardrail[],
  { json = false, context = ALONE }: OutputGuardOptions = {},
): OutputGuard {
  const judging = guardrails.filter(({ startOutput, judgeWhole }) => startOutput ?? judgeWhole);
  if (judging.length === 0) return OPEN;
  const guard = new HoldingGuard(new GuardCore(judging, context), json ? new JsonText() : undefined);
  return judging.some(({ buffer }) => buffer) ? new BufferingGuard(guard) : guard;
}

/** Puts masked values of the input back before the guardrails judge the text. */
export function restoringGuard(inner: OutputGuard, text: RestoredText): OutputGuard {
  return {
    push: (piece) => inner.push(text.push(piece)),
    end: () => {
      const before = inner.push(text.end());
      if (before.stop !== undefined) return before;
      const last = inner.end();
      return { ...last, release: before.release + last.release };
    },
    waiting: () => inner.waiting?.(),
    conclude: async () => inner.conclude?.(),
    get held() {
      return text.held + (inner.held ?? 0);
    },
  };
}

const NOTHING: GuardStep = { release: '' };

const OPEN: OutputGuard = {
  push: (text) => ({ release: text }),
  end: () => NOTHING,
};

class HoldingGuard implements OutputGuard {
  readonly #core: GuardCore;
  readonly #json: JsonText | undefined;
  /** Decodes what is released, for monitors. */
  readonly #shown: JsonText | undefined;
  /** Code units before `#text`, all released. */
  #released = 0;
  /** All text from `#released` on. */
  #text = '';
  #over = false;

  constructor(core: GuardCore, json: JsonText | undefined) {
    this.#core = core;
    this.#json = json;
    this.#shown = json === undefined ? undefined : new JsonText();
  }

  get held(): number {
    return this.#text.length;
  }

  push(text: string): GuardStep {
    if (this.#over) return NOTHING;
    const core = this.#core;
    const judged = this.#json === undefined ? text : this.#json.push(text);
    const safe = core.push(judged, text);
    if (core.stopped) return this.#finish(text, safe);
    // The common case: no text is held, and none must be.
    if (this.#text === '' && this.#json === undefined && safe === this.#released + text.length && !core.edited) {
      // Do not release half of a surrogate pair: a client cannot show it.
      if (!isHighSurrogate(text.charCodeAt(text.length - 1))) {
        this.#released = safe;
        core.released(text);
        return { release: text };
      }
    }
    this.#text += text;
    return { release: this.#release(safe, false) };
  }

  end(): GuardStep {
    if (this.#over) return NOTHING;
    const rest = this.#json?.end() ?? '';
    return this.#finish('', this.#core.end(rest));
  }

  waiting(): Promise<unknown> | undefined {
    return this.#core.waiting();
  }

  async conclude(): Promise<void> {
    await this.#core.conclude();
  }

  #finish(text: string, position: number): GuardStep {
    this.#over = true;
    this.#text += text;
    const release = this.#release(position, true);
    this.#text = '';
    const { stop, notes } = this.#core.conclusion(position);
    return {
      release,
      ...(stop === undefined ? {} : { stop }),
      ...(notes.length === 0 ? {} : { notes }),
    };
  }

  /**
   * Takes the text before a position of the judged text.
   * @param last whether nothing is released after it
   */
  #release(position: number, last: boolean): string {
    let shown = '';
    let to = position;
    for (const edit of this.#core.editsBefore(position)) {
      shown += this.#take(Math.max(edit.from, this.#judged())) + edit.replacement;
      this.#drop(edit.to);
      to = Math.max(to, edit.to);
    }
    const limit = this.#core.editAround(to) ?? to;
    shown += this.#take(limit, !last);
    this.#core.released(this.#shown?.push(shown) ?? shown);
    return shown;
  }

  #judged(): number {
    return this.#json?.judgedAt(this.#released) ?? this.#released;
  }

  #take(position: number, whole = false): string {
    let end = (this.#json?.sourceAt(position) ?? position) - this.#released;
    if (end <= 0) return '';
    if (whole && end === this.#text.length && isHighSurrogate(this.#text.charCodeAt(end - 1))) end -= 1;
    const taken = this.#text.slice(0, end);
    this.#text = this.#text.slice(end);
    this.#released += end;
    this.#json?.forget(this.#released);
    return taken;
  }

  #drop(position: number): void {
    this.#take(position);
  }
}

/** Holds the whole text until it is judged: it is released at its end, or not at all. */
class BufferingGuard implements OutputGuard {
  readonly #inner: HoldingGuard;
  #passed = '';

  constructor(inner: HoldingGuard) {
    this.#inner = inner;
  }

  get held(): number {
    return this.#inner.held + this.#passed.length;
  }

  push(text: string): GuardStep {
    return this.#step(this.#inner.push(text), false);
  }

  end(): GuardStep {
    return this.#step(this.#inner.end(), true);
  }

  waiting(): Promise<unknown> | undefined {
    return this.#inner.waiting();
  }

  conclude(): Promise<void> {
    return this.#inner.conclude();
  }

  #step(step: GuardStep, last: boolean): GuardStep {
    this.#passed += step.release;
    const release = last && step.stop === undefined ? this.#passed : '';
    if (last || step.stop !== undefined) this.#passed = '';
    return { ...step, release };
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
