/*
 * The guardrails `max_length` and `length`: refuse input over the limit and end output at it. They
 * count code points, so that a limit means the same in every script and no surrogate pair is split,
 * or tokens, as four UTF-8 bytes each: an exact count would cost more than all other checks.
 */

import { ALLOW, type CompiledGuardrail, type Denial, type OutputRun, type Stop, type Verdict } from '../guardrail.js';
import { type KindContext } from '../kind-context.js';
import { Params } from './params.js';

const TOO_LONG = 'too_long';
const TOO_SHORT = 'too_short';
const BYTES_A_TOKEN = 4;
const MAX_CHARACTERS = ['max_length', 'max', 'max_characters'] as const;
const MIN_CHARACTERS = ['min_length', 'min', 'min_characters'] as const;

/** The unit of a length. */
type Unit = 'character' | 'token';

/** `params.max_length` (or `max`, or `max_characters`), `params.max_tokens`, or both. */
export function compileMaxLength(
  given: Readonly<Record<string, unknown>>,
  { message }: KindContext,
): CompiledGuardrail[] {
  const names = [...MAX_CHARACTERS, 'max_tokens'];
  const params = new Params('max_length', given, names);
  const limits = maxima(params);
  if (limits.length === 0) params.needsOneOf(names);
  params.throwMistakes();
  return limits.map(([limit, unit]) => new MaxLength('max_length', limit, unit, message));
}

/**
 * `params.min_length` (or `min`, or `min_characters`) or `params.min_tokens`. Judged at the end.
 */
export function compileMinLength(
  given: Readonly<Record<string, unknown>>,
  { message }: KindContext,
): CompiledGuardrail[] {
  const names = [...MIN_CHARACTERS, 'min_tokens'];
  const params = new Params('min_length', given, names);
  const limits = minima(params);
  if (limits.length === 0) params.needsOneOf(names);
  params.throwMistakes();
  return limits.map(([limit, unit]) => new MinLength('min_length', limit, unit, message));
}

/** The params of `max_length` and `min_length` together. */
export function compileLength(given: Readonly<Record<string, unknown>>, { message }: KindContext): CompiledGuardrail[] {
  const names = [...MAX_CHARACTERS, 'max_tokens', ...MIN_CHARACTERS, 'min_tokens'];
  const params = new Params('length', given, names);
  const [most, least] = [maxima(params), minima(params)];
  if (most.length + least.length === 0) params.needsOneOf(names);
  params.throwMistakes();
  return [
    ...most.map(([limit, unit]) => new MaxLength('length', limit, unit, message)),
    ...least.map(([limit, unit]) => new MinLength('length', limit, unit, message)),
  ];
}

function maxima(params: Params): (readonly [number, Unit])[] {
  return limitsOf(params, MAX_CHARACTERS, 'max_tokens');
}

function minima(params: Params): (readonly [number, Unit])[] {
  return limitsOf(params, MIN_CHARACTERS, 'min_tokens');
}

function limitsOf(params: Params, names: readonly string[], tokenName: string): (readonly [number, Unit])[] {
  const [characters, tokens] = [params.optionalCount(names), params.optionalCount([tokenName])];
  return [
    ...(characters === undefined ? [] : [[characters, 'character'] as const]),
    ...(tokens === undefined ? [] : [[tokens, 'token'] as const]),
  ];
}

function shown(limit: number, unit: Unit): string {
  return `${limit.toLocaleString('en-US')} ${limit === 1 ? unit : `${unit}s`}`;
}

class MaxLength implements CompiledGuardrail {
  readonly measures = true;
  readonly answerOnly = true;
  readonly #onInput: Denial;
  readonly #onOutput: Denial;

  constructor(
    readonly type: string,
    private readonly limit: number,
    private readonly unit: Unit,
    message: string | undefined,
  ) {
    const most = shown(limit, unit);
    this.#onInput = { reason: TOO_LONG, message: message ?? `This message is longer than the ${most} allowed here.` };
    this.#onOutput = { reason: TOO_LONG, message: message ?? `The answer ends here because it reached ${most}.` };
  }

  checkInput(texts: readonly string[]): Verdict {
    // A code unit is at most one code point and three bytes, so most texts need no count.
    const surelyFits = this.unit === 'token' ? (this.limit * BYTES_A_TOKEN) / 3 : this.limit;
    for (const text of texts) {
      if (text.length <= surelyFits) continue;
      const run = this.#run(this.#onInput);
      run.push(text);
      if (run.stop !== undefined) return { decision: 'deny', ...run.stop };
    }
    return ALLOW;
  }

  startOutput(): OutputRun {
    return this.#run(this.#onOutput);
  }

  #run(denial: Denial): OutputRun {
    return this.unit === 'token'
      ? new MaxLengthRun(this.limit * BYTES_A_TOKEN, denial, bytesOf)
      : new MaxLengthRun(this.limit, denial, one);
  }
}

/** Text of which every code unit costs 1 in both units: the usual case. */
const ASCII = /^\p{ASCII}*$/u;

const one = (): number => 1;

/** UTF-8 bytes of the code point that begins with this code unit. */
function bytesOf(unit: number): number {
  if (unit < 0x80) return 1;
  if (unit < 0x800) return 2;
  return unit >= 0xd800 && unit <= 0xdbff ? 4 : 3;
}

class MaxLengthRun implements OutputRun {
  stop: Stop | undefined;

  private seen = 0;
  private afterHighSurrogate = false;

  constructor(
    /** Units that still fit. */
    private left: number,
    private readonly denial: Denial,
    private readonly cost: (unit: number) => number,
  ) {}

  push(text: string): number {
    if (this.stop !== undefined) return this.stop.position;
    if (text.length <= this.left && !this.afterHighSurrogate && ASCII.test(text)) {
      this.left -= text.length;
      return (this.seen += text.length);
    }
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const endsPair = this.afterHighSurrogate && unit >= 0xdc00 && unit <= 0xdfff;
      this.afterHighSurrogate = unit >= 0xd800 && unit <= 0xdbff;
      if (endsPair) continue;
      const cost = this.cost(unit);
      if (this.left < cost) {
        this.stop = { position: this.seen + i, ...this.denial };
        return this.stop.position;
      }
      this.left -= cost;
    }
    this.seen += text.length;
    return this.seen;
  }

  end(): number {
    return this.stop?.position ?? this.seen;
  }
}

class MinLength implements CompiledGuardrail {
  readonly measures = true;
  readonly answerOnly = true;

  constructor(
    readonly type: string,
    private readonly limit: number,
    private readonly unit: Unit,
    private readonly message: string | undefined,
  ) {}

  checkInput(texts: readonly string[]): Verdict {
    const short = texts.find((text) => !this.#isLongEnough(text));
    if (short === undefined) return ALLOW;
    const message = this.message ?? `This message is shorter than ${shown(this.limit, this.unit)}.`;
    return { decision: 'deny', reason: TOO_SHORT, message, position: short.length };
  }

  judgeWhole(text: string): Denial | undefined {
    if (this.#isLongEnough(text)) return undefined;
    const message = this.message ?? `The answer is shorter than ${shown(this.limit, this.unit)}.`;
    return { reason: TOO_SHORT, message };
  }

  #isLongEnough(text: string): boolean {
    if (this.unit === 'token') return Math.ceil(Buffer.byteLength(text) / BYTES_A_TOKEN) >= this.limit;
    return text.length >= this.limit && [...text].length >= this.limit;
  }
}
