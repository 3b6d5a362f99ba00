/*
 * The guardrails `banned_words` and `content_excludes`: deny text that contains one of these words
 * or phrases. They match whole words in any case and spelling, and any position in scripts without
 * spaces. Owns its params and messages; word-scan.ts does the matching.
 */

import { ALLOW, type CompiledGuardrail, type Denial, type OutputRun, type Stop, type Verdict } from '../guardrail.js';
import { type KindContext } from '../kind-context.js';
import { foldWord } from './fold.js';
import { Params } from './params.js';
import { NOT_FOUND, WordScan } from './word-scan.js';
import { WordAutomaton } from './word-automaton.js';

const REASON = 'banned_word';
const INPUT_MESSAGE = 'This message contains a word that is not allowed here.';
const OUTPUT_MESSAGE = 'The answer ends here because it contained a word that is not allowed.';
const LONGEST_WORD = 200;

/**
 * `params.words`: the words and phrases. White space in a phrase matches any white space. Without
 * words there is nothing to check.
 */
export function compileBannedWords(
  given: Readonly<Record<string, unknown>>,
  { message }: KindContext,
): CompiledGuardrail[] {
  const params = new Params('banned_words', given, ['words']);
  return compileWords('banned_words', params, 'words', 'whole', message);
}

/**
 * `params.patterns`: texts that are found anywhere, or as whole words with
 * `match_mode: word_boundary`.
 */
export function compileContentExcludes(
  given: Readonly<Record<string, unknown>>,
  { message }: KindContext,
): CompiledGuardrail[] {
  const params = new Params('content_excludes', given, ['patterns', 'match_mode']);
  const mode = params.oneOf('match_mode', ['substring', 'word_boundary'], 'substring');
  const where = mode === 'substring' ? 'anywhere' : 'whole';
  return compileWords('content_excludes', params, 'patterns', where, message);
}

function compileWords(
  type: string,
  params: Params,
  name: string,
  where: 'whole' | 'anywhere',
  message: string | undefined,
): CompiledGuardrail[] {
  const words = params.strings(name).map((word, i) => {
    const folded = foldWord(word);
    const mistake = whatIsWrongWith(word, folded.length, folded[0]?.mark ?? false);
    if (mistake !== undefined) params.mistake(`${name}[${i}]`, mistake);
    return folded;
  });
  params.throwMistakes();
  return words.length === 0 ? [] : [new BannedWords(type, new WordAutomaton(words, where), message)];
}

function whatIsWrongWith(word: string, length: number, beginsWithMark: boolean): string | undefined {
  if (length === 0) return 'holds nothing that can be seen; write a word or a phrase';
  if (length > LONGEST_WORD) return `is longer than ${LONGEST_WORD} characters; write a shorter phrase`;
  if (beginsWithMark) return 'begins with a combining mark; begin with the letter it belongs to';
  if (!word.isWellFormed()) return 'holds half a surrogate pair; write the whole character';
  return undefined;
}

class BannedWords implements CompiledGuardrail {
  private readonly onInput: Denial;
  private readonly onOutput: Denial;

  constructor(
    readonly type: string,
    private readonly automaton: WordAutomaton,
    message: string | undefined,
  ) {
    this.onInput = { reason: REASON, message: message ?? INPUT_MESSAGE };
    this.onOutput = { reason: REASON, message: message ?? OUTPUT_MESSAGE };
  }

  checkInput(texts: readonly string[]): Verdict {
    for (const text of texts) {
      const scan = new WordScan(this.automaton);
      scan.push(text);
      scan.end();
      if (scan.found !== NOT_FOUND) return { decision: 'deny', position: scan.found, ...this.onInput };
    }
    return ALLOW;
  }

  startOutput(): OutputRun {
    return new BannedWordsRun(new WordScan(this.automaton), this.onOutput);
  }
}

class BannedWordsRun implements OutputRun {
  constructor(
    private readonly scan: WordScan,
    private readonly denial: Denial,
  ) {}

  push(text: string): number {
    this.scan.push(text);
    return this.scan.safe;
  }

  end(): number {
    this.scan.end();
    return this.scan.safe;
  }

  get stop(): Stop | undefined {
    return this.scan.found === NOT_FOUND ? undefined : { position: this.scan.found, ...this.denial };
  }
}
