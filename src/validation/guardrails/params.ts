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
    /** Whether there is no such type. */
    readonly unknownType = false,
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

  /** Whether a param is present. */
  has(name: string): boolean {
    return this.given[name] !== undefined;
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

  /** Reads a required list of strings that has several names, of which one must be used. */
  stringsUnderOneOf(names: readonly string[]): readonly string[] {
    const name = names.find((one) => this.has(one)) ?? names[0] ?? '';
    const found = this.strings(name);
    if (found.length === 0 && Array.isArray(this.given[name])) this.mistake(name, 'is empty; write at least one');
    found.forEach((entry, i) => {
      if (entry.trim() === '') this.mistake(`${name}[${i}]`, 'holds nothing; write some text');
    });
    return found;
  }

  /** Reads required text. @returns an empty text if there is none */
  text(name: string): string {
    const value = this.given[name];
    if (typeof value === 'string' && value !== '') return value;
    this.mistake(name, value === undefined ? 'is missing; write text' : 'must be text; quote it');
    return '';
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.given[name];
    if (value === undefined || typeof value === 'boolean') return value ?? otherwise;
    this.mistake(name, 'must be true or false');
    return otherwise;
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[], otherwise: T): T {
    const value = this.given[name];
    if (value === undefined) return otherwise;
    const found = allowed.find((one) => one === value);
    if (found === undefined) this.mistake(name, `must be one of ${allowed.join(', ')}`);
    return found ?? otherwise;
  }

  /** Reads a number between two bounds. */
  number(name: string, least: number, most: number, otherwise: number): number {
    const value = this.given[name];
    if (value === undefined) return otherwise;
    if (typeof value === 'number' && value >= least && value <= most) return value;
    this.mistake(name, `must be a number from ${least} to ${most}`);
    return otherwise;
  }

  object(name: string): Readonly<Record<string, unknown>> {
    const value = this.given[name];
    // The check below makes it an object.
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    this.mistake(name, value === undefined ? 'is missing; write an object' : 'must be an object');
    return {};
  }

  /**
   * Reads a whole number of at least 1 that has several names, at most one of which may be used.
   * @returns undefined if none is
   */
  optionalCount(names: readonly string[]): number | undefined {
    const used = names.filter((name) => this.has(name));
    const [name] = used;
    if (name === undefined) return undefined;
    if (used.length > 1) this.mistake('', `params must hold one of ${names.join(', ')}, not ${used.join(' and ')}`);
    const value = this.given[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
    this.mistake(name, 'must be a whole number of at least 1');
    return 1;
  }

  /** Reports that one of these params is needed. */
  needsOneOf(names: readonly string[]): void {
    this.mistake('', `params must hold one of ${names.join(', ')}`);
  }
}
