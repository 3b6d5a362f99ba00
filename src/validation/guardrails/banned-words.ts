/*
 * The guardrail `banned_words`: denies text that contains one of these words or phrases. Matches
 * whole words in any case and spelling, and any position in scripts without spaces. Owns its params
 * and messages; word-scan does the matching.
 */

import { type CompiledGuardrail, type Denial, type OutputRun, type Stop, type Verdict } from '../guardrail.js';
import { foldWord } from './fold.js';
import { Params } from './params.js';
import { NOT_FOUND, WordScan } from './word-scan.js';
import { WordAutomaton } from './word-automaton.js';

const TYPE = 'banned_words';
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
  message: string | undefined,
): CompiledGuardrail | undefined {
  const params = new Params(TYPE, given, ['words']);
  const words = params.strings('words').map((word, i) => {
    const folded = foldWord(word);
    const mistake = whatIsWrongWith(word, folded.length, folded[0]?.mark ?? false);
    if (mistake !== undefined) params.mistake(`words[${i}]`, mistake);
    return folded;
  });
  params.throwMistakes();
  return words.length === 0 ? undefined : new BannedWords(new WordAutomaton(words), message);
}

function whatIsWrongWith(word: string, length: number, beginsWithMark: boolean): string | undefined {
  if (length === 0) return 'holds nothing that can be seen; write a word or a phrase';
  if (length > LONGEST_WORD) return `is longer than ${LONGEST_WORD} characters; write a shorter phrase`;
  if (beginsWithMark) return 'begins with a combining mark; begin with the letter it belongs to';
  if (!word.isWellFormed()) return 'holds half a surrogate pair; write the whole character';
  return undefined;
}

class BannedWords implements CompiledGuardrail {
  readonly type = TYPE;
  private readonly onInput: Denial;
  private readonly onOutput: Denial;

  constructor(
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
      if (scan.found !== NOT_FOUND) return { decision: 'deny', ...this.onInput };
    }
    return { decision: 'allow' };
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
