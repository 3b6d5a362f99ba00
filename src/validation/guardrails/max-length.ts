/*
 * The guardrail `max_length`: refuses input over the limit, and ends output at it. Counts code
 * points, so that a limit means the same in every script and no surrogate pair is split.
 */

import { type CompiledGuardrail, type Denial, type OutputRun, type Stop, type Verdict } from '../guardrail.js';
import { Params } from './params.js';

const TYPE = 'max_length';
const REASON = 'too_long';
const LIMIT_NAMES = ['max_length', 'max', 'max_characters'] as const;

/**
 * `params.max_length` (or `max`, or `max_characters`): the most code points of each new user
 * message and of the output.
 */
export function compileMaxLength(
  given: Readonly<Record<string, unknown>>,
  message: string | undefined,
): CompiledGuardrail {
  const params = new Params(TYPE, given, LIMIT_NAMES);
  const limit = params.countUnderOneOf(LIMIT_NAMES);
  params.throwMistakes();
  return new MaxLength(limit, message);
}

class MaxLength implements CompiledGuardrail {
  readonly type = TYPE;
  readonly measures = true;
  private readonly onInput: Denial;
  private readonly onOutput: Denial;

  constructor(
    private readonly limit: number,
    message: string | undefined,
  ) {
    const characters = `${limit.toLocaleString('en-US')} ${limit === 1 ? 'character' : 'characters'}`;
    this.onInput = {
      reason: REASON,
      message: message ?? `This message is longer than the ${characters} allowed here.`,
    };
    this.onOutput = { reason: REASON, message: message ?? `The answer ends here because it reached ${characters}.` };
  }

  checkInput(texts: readonly string[]): Verdict {
    for (const text of texts) {
      const run = new MaxLengthRun(this.limit, this.onInput);
      run.push(text);
      if (run.stop !== undefined) return { decision: 'deny', ...this.onInput };
    }
    return { decision: 'allow' };
  }

  startOutput(): OutputRun {
    return new MaxLengthRun(this.limit, this.onOutput);
  }
}

class MaxLengthRun implements OutputRun {
  stop: Stop | undefined;

  private seen = 0;
  private afterHighSurrogate = false;

  constructor(
    /** Code points that still fit. */
    public left: number,
    private readonly denial: Denial,
  ) {}

  push(text: string): number {
    if (this.stop !== undefined) return this.stop.position;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const endsPair = this.afterHighSurrogate && unit >= 0xdc00 && unit <= 0xdfff;
      this.afterHighSurrogate = unit >= 0xd800 && unit <= 0xdbff;
      if (endsPair) continue;
      if (this.left === 0) {
        this.stop = { position: this.seen + i, ...this.denial };
        return this.stop.position;
      }
      this.left--;
    }
    this.seen += text.length;
    return this.seen;
  }

  end(): number {
    return this.stop?.position ?? this.seen;
  }
}
