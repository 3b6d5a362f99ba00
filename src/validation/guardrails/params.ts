/*
 * Reads a guardrail's params and collects all mistakes in them, so that an operator can correct
 * them at once. Knows no guardrail.
 */

export interface ParamMistake {
  /** `words[3]`; empty for the params as a whole. */
  readonly param: string;
  readonly what: string;
}

/** A guardrail with invalid settings. Operators read it at start, so it may quote the settings. */
export class GuardrailMistake extends Error {
  constructor(
    readonly type: string,
    readonly mistakes: readonly ParamMistake[],
  ) {
    const lines = mistakes.map(({ param, what }) => (param === '' ? what : `params.${param} ${what}`));
    super(`unable to use the guardrail ${type}; ${lines.join('; ')}`);
    this.name = 'GuardrailMistake';
  }
}

export class Params {
  private readonly mistakes: ParamMistake[] = [];

  constructor(
    private readonly type: string,
    private readonly given: Readonly<Record<string, unknown>>,
    known: readonly string[],
  ) {
    for (const name of Object.keys(given)) {
      if (!known.includes(name)) this.mistake(name, `is not known; known: ${known.join(', ')}`);
    }
  }

  mistake(param: string, what: string): void {
    this.mistakes.push({ param, what });
  }

  /** @throws GuardrailMistake with all mistakes */
  throwMistakes(): void {
    if (this.mistakes.length > 0) throw new GuardrailMistake(this.type, this.mistakes);
  }

  /** Reads a required list of strings. @returns an empty list if the value is no such list */
  strings(name: string): readonly string[] {
    const value = this.given[name];
    if (!Array.isArray(value)) {
      this.mistake(name, value === undefined ? 'is missing; write a list of words' : 'must be a list of words');
      return [];
    }
    return value.map((entry: unknown, i) => {
      if (typeof entry === 'string') return entry;
      this.mistake(`${name}[${i}]`, `must be text; quote it`);
      return 'x';
    });
  }

  /**
   * Reads a whole number of at least 1 that has several names, exactly one of which must be used.
   */
  countUnderOneOf(names: readonly string[]): number {
    const used = names.filter((name) => this.given[name] !== undefined);
    const [name] = used;
    if (name === undefined || used.length > 1) {
      this.mistake(
        '',
        `params must hold one of ${names.join(', ')}${name === undefined ? '' : `, not ${used.join(' and ')}`}`,
      );
      return 1;
    }
    const value = this.given[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
    this.mistake(name, 'must be a whole number of at least 1');
    return 1;
  }
}
