/*
 * The guardrail `regex`: denies text that matches a pattern of RE2's syntax, or, with
 * `expect_match: true`, text that does not. regex-scan.ts matches in linear time.
 */

import { RE2JS } from 're2js';
import { ALLOW, type CompiledGuardrail, type Denial, type OutputRun, type Stop, type Verdict } from '../guardrail.js';
import { type KindContext } from '../kind-context.js';
import { Params } from './params.js';
import { NO_MATCH, RegexProgram } from './regex-program.js';
import { RegexScan } from './regex-scan.js';
import { WholeText } from './whole-text.js';

const REASON = 'pattern_found';

/**
 * `params.pattern`, or `params.patterns` of which none may match; `params.expect_match` (false).
 */
export function compileRegex(given: Readonly<Record<string, unknown>>, context: KindContext): CompiledGuardrail[] {
  const params = new Params('regex', given, ['pattern', 'patterns', 'expect_match']);
  const expected = params.flag('expect_match', false);
  const patterns = params.has('patterns') ? params.stringsUnderOneOf(['patterns']) : [params.text('pattern')];
  const compiled = patterns.flatMap((pattern, i) => {
    const name = params.has('patterns') ? `patterns[${i}]` : 'pattern';
    if (pattern === '') return [];
    return (expected ? required(pattern, context) : forbidden(pattern, context)) ?? mistake(params, name, pattern);
  });
  params.throwMistakes();
  return compiled;
}

function forbidden(pattern: string, { message }: KindContext): CompiledGuardrail | undefined {
  try {
    return new ForbiddenPattern(new RegexProgram(pattern), message);
  } catch {
    return undefined;
  }
}

function required(pattern: string, context: KindContext): CompiledGuardrail | undefined {
  try {
    const compiled = RE2JS.compile(pattern);
    return new WholeText('regex', 'pattern_missing', (text) => !compiled.test(text), context);
  } catch {
    return undefined;
  }
}

function mistake(params: Params, name: string, pattern: string): [] {
  let why = 'it matches empty text, looks behind or is too large';
  try {
    RE2JS.compile(pattern);
  } catch (error) {
    why = error instanceof Error ? error.message : 'it cannot be read';
  }
  params.mistake(name, `is no usable pattern of RE2's syntax: ${why}`);
  return [];
}

class ForbiddenPattern implements CompiledGuardrail {
  readonly type = 'regex';
  readonly #onInput: Denial;
  readonly #onOutput: Denial;

  constructor(
    private readonly program: RegexProgram,
    message: string | undefined,
  ) {
    this.#onInput = { reason: REASON, message: message ?? 'This message contains something that is not allowed here.' };
    this.#onOutput = {
      reason: REASON,
      message: message ?? 'The answer ends here because it contained something that is not allowed.',
    };
  }

  checkInput(texts: readonly string[]): Verdict {
    for (const text of texts) {
      const scan = new RegexScan(this.program);
      scan.push(text);
      scan.end();
      if (scan.matched !== NO_MATCH) return { decision: 'deny', position: scan.matched, ...this.#onInput };
    }
    return ALLOW;
  }

  startOutput(): OutputRun {
    return new RegexRun(new RegexScan(this.program), this.#onOutput);
  }
}

class RegexRun implements OutputRun {
  stop: Stop | undefined;

  constructor(
    private readonly scan: RegexScan,
    private readonly denial: Denial,
  ) {}

  push(text: string): number {
    if (this.stop !== undefined) return this.stop.position;
    this.scan.push(text);
    return this.#decide(this.scan.safe);
  }

  end(): number {
    if (this.stop !== undefined) return this.stop.position;
    this.scan.end();
    return this.#decide(this.scan.safe);
  }

  /** A completed match stops the text unless an earlier one may still be completed. */
  #decide(safe: number): number {
    const { matched } = this.scan;
    if (matched === NO_MATCH) return safe;
    if (safe < matched) return safe;
    this.stop = { position: matched, ...this.denial };
    return matched;
  }
}
