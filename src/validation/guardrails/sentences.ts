/*
 * The guardrails `max_sentences` and `sentence_count`. Sentences are those of Unicode (UAX 29), by
 * Intl.Segmenter; blank ones do not count. Output ends where the first sentence too many begins.
 */

import { ALLOW, type CompiledGuardrail, type Denial, type OutputRun, type Stop, type Verdict } from '../guardrail.js';
import { type KindContext } from '../kind-context.js';
import { Params } from './params.js';

const segmenter = new Intl.Segmenter('und', { granularity: 'sentence' });
/** A sentence can end only at one of these characters. */
const MAY_END = /[\p{Sentence_Terminal}\r\n\u0085\u2028\u2029]/u;
/**
 * A boundary is certain when one of these follows it. Before that, a lower-case letter may still
 * undo it.
 */
const DECIDES = /[\p{L}\p{Sentence_Terminal}\r\n\u0085\u2028\u2029]/u;
const NOT_BLANK = /\S/u;
/** Code units of an open sentence from which on only its last `KEPT_TAIL` are read again. */
const LONGEST_TAIL = 2_000;
/** Code units at the end of a long open sentence that are read again. */
const KEPT_TAIL = 500;

/** `params.max_sentences` (or `max`). */
export function compileMaxSentences(
  given: Readonly<Record<string, unknown>>,
  context: KindContext,
): CompiledGuardrail[] {
  return compileCount('max_sentences', given, ['max_sentences', 'max'], [], context);
}

/** `params.max` (or `max_sentences`), `params.min` (or `min_sentences`), or both. */
export function compileSentenceCount(
  given: Readonly<Record<string, unknown>>,
  context: KindContext,
): CompiledGuardrail[] {
  return compileCount('sentence_count', given, ['max', 'max_sentences'], ['min', 'min_sentences'], context);
}

function compileCount(
  type: string,
  given: Readonly<Record<string, unknown>>,
  maxNames: readonly string[],
  minNames: readonly string[],
  { message }: KindContext,
): CompiledGuardrail[] {
  const names = [...maxNames, ...minNames];
  const params = new Params(type, given, names);
  const most = params.optionalCount(maxNames);
  const least = params.optionalCount(minNames);
  if (most === undefined && least === undefined) params.needsOneOf(names);
  params.throwMistakes();
  return [
    ...(most === undefined ? [] : [new MostSentences(type, most, message)]),
    ...(least === undefined ? [] : [new LeastSentences(type, least, message)]),
  ];
}

/** Number of sentences that are not blank. */
export function countSentences(text: string): number {
  let count = 0;
  for (const { segment } of segmenter.segment(text)) if (NOT_BLANK.test(segment)) count += 1;
  return count;
}

class MostSentences implements CompiledGuardrail {
  readonly measures = true;
  readonly answerOnly = true;
  readonly #denial: Denial;

  constructor(
    readonly type: string,
    private readonly limit: number,
    private readonly message: string | undefined,
  ) {
    const most = limit === 1 ? 'one sentence' : `${limit} sentences`;
    this.#denial = {
      reason: 'too_many_sentences',
      message: message ?? `The answer ends here because it reached ${most}.`,
    };
  }

  checkInput(texts: readonly string[]): Verdict {
    const long = texts.find((text) => countSentences(text) > this.limit);
    if (long === undefined) return ALLOW;
    const run = this.startOutput();
    run.push(long);
    const position = run.end();
    const message = this.message ?? `This message has more than the ${this.limit} sentences allowed here.`;
    return { decision: 'deny', reason: this.#denial.reason, message, position };
  }

  startOutput(): OutputRun {
    return new SentencesRun(this.limit, this.#denial);
  }
}

class SentencesRun implements OutputRun {
  stop: Stop | undefined;
  #seen = 0;
  /** Where the text of `#tail` begins: at a certain boundary. */
  #from = 0;
  #tail = '';
  /** Sentences before `#from`. */
  #count = 0;
  #mayEnd = false;
  /** Whether the text of this sentence before `#tail` was not blank. */
  #begun = false;
  /** The safe position while the last boundary is not certain, or -1. */
  #pending = -1;

  constructor(
    private readonly limit: number,
    private readonly denial: Denial,
  ) {}

  push(text: string): number {
    if (this.stop !== undefined) return this.stop.position;
    this.#seen += text.length;
    this.#tail += text;
    this.#mayEnd ||= MAY_END.test(text);
    // Reading the sentence again would not make the boundary certain.
    if (this.#pending !== -1 && !DECIDES.test(text)) return this.#pending;
    return this.#mayEnd || this.#count === this.limit ? this.#read(false) : this.#seen;
  }

  end(): number {
    return this.stop?.position ?? this.#read(true);
  }

  /** @returns the safe position */
  #read(ended: boolean): number {
    const lead = this.#tail.charCodeAt(this.#tail.length - 1);
    const whole = !ended && lead >= 0xd800 && lead <= 0xdbff ? this.#tail.slice(0, -1) : this.#tail;
    let start = 0;
    let safe = this.#seen;
    this.#pending = -1;
    for (const { index, segment } of segmenter.segment(whole)) {
      if (index > start) {
        const begun = (start === 0 && this.#begun) || NOT_BLANK.test(whole.slice(start, index));
        const before = this.#count + (begun ? 1 : 0);
        if (!ended && !DECIDES.test(whole.slice(index))) {
          if (before === this.limit) this.#pending = safe = this.#from + index;
          break;
        }
        this.#count = before;
        this.#begun = false;
        start = index;
      }
      if (this.#count === this.limit) {
        if (NOT_BLANK.test(segment)) this.stop = { position: this.#from + start, ...this.denial };
        safe = ended && this.stop === undefined ? this.#seen : this.#from + start;
        if (this.stop !== undefined) break;
      }
    }
    if (start === 0 && this.#count < this.limit && this.#tail.length > LONGEST_TAIL) {
      // The rules of boundaries look at few characters, so the earlier text gets no further
      // boundaries.
      start = this.#tail.length - KEPT_TAIL;
      this.#begun ||= NOT_BLANK.test(this.#tail.slice(0, start));
    }
    this.#from += start;
    this.#tail = this.#tail.slice(start);
    this.#mayEnd = MAY_END.test(this.#tail);
    return this.stop?.position ?? safe;
  }
}

class LeastSentences implements CompiledGuardrail {
  readonly measures = true;
  readonly answerOnly = true;

  constructor(
    readonly type: string,
    private readonly limit: number,
    private readonly message: string | undefined,
  ) {}

  checkInput(texts: readonly string[]): Verdict {
    const short = texts.find((text) => countSentences(text) < this.limit);
    return short === undefined ? ALLOW : { decision: 'deny', position: short.length, ...this.#denial('This message') };
  }

  judgeWhole(text: string): Denial | undefined {
    return countSentences(text) < this.limit ? this.#denial('The answer') : undefined;
  }

  #denial(what: string): Denial {
    return { reason: 'too_few_sentences', message: this.message ?? `${what} has fewer than ${this.limit} sentences.` };
  }
}
