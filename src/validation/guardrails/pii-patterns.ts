/*
 * Patterns of personal data and secrets. A pattern finds candidates, and checksums decide on
 * numbers. Each kind keeps false findings rare: an order number is no card, a year is no phone
 * number.
 */

import { RE2JS } from 're2js';

export const PII_TYPES = ['email', 'phone', 'card', 'iban', 'api_key'] as const;
export type PiiType = (typeof PII_TYPES)[number];

interface PiiPattern {
  readonly pattern: string;
  /** How much of a candidate is data: its length in code units, 0 for none. */
  readonly accepts?: (candidate: string) => number;
}

const EMAIL = '[A-Za-z0-9][A-Za-z0-9._%+-]*@(?:[A-Za-z0-9-]+\\.)+[A-Za-z]{2,}';
const INTERNATIONAL = '(?:\\+|\\b00)[1-9](?:[ ().-]{0,2}[0-9]){6,14}\\b';
const NORTH_AMERICAN = '(?:\\([2-9][0-9]{2}\\) ?|\\b[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}\\b';
const CARD = '\\b[3-6](?:[ -]?[0-9]){11,18}\\b';
const IBAN = '\\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\\b';
const API_KEY = [
  'sk-[A-Za-z0-9_-]{16,}',
  '[sr]k_(?:live|test)_[A-Za-z0-9]{16,}',
  'AKIA[0-9A-Z]{16}',
  'gh[pousr]_[A-Za-z0-9]{30,}',
  'github_pat_[A-Za-z0-9_]{22,}',
  'glpat-[A-Za-z0-9_-]{20,}',
  'xox[abeprs]-[A-Za-z0-9-]{10,}',
  'AIza[0-9A-Za-z_-]{30,}',
  'eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}',
].join('|');

export const PII_PATTERNS: Readonly<Record<PiiType, PiiPattern>> = {
  email: { pattern: EMAIL },
  phone: { pattern: `${INTERNATIONAL}|${NORTH_AMERICAN}` },
  card: { pattern: CARD, accepts: (candidate) => longestPart(candidate, /[ -]/u, isCard) },
  iban: { pattern: IBAN, accepts: (candidate) => longestPart(candidate, / /u, isIban) },
  api_key: { pattern: `\\b(?:${API_KEY})` },
};

/** Compiled at first use: most starts need none. */
const compiled = new Map<PiiType, RE2JS>();

function compiledPattern(type: PiiType): RE2JS {
  const known = compiled.get(type);
  if (known !== undefined) return known;
  const pattern = RE2JS.compile(PII_PATTERNS[type].pattern);
  compiled.set(type, pattern);
  return pattern;
}

export interface PiiFinding {
  readonly type: PiiType;
  readonly from: number;
  readonly to: number;
}

/**
 * Finds personal data in a text, in order and without overlaps. Findings that overlap are joined to
 * one of the type of the leftmost. Otherwise the digits of a card after `+49` that exceed a phone
 * number would be shown.
 */
export function findPii(text: string, types: readonly PiiType[]): readonly PiiFinding[] {
  const all = types.flatMap((type) => findOne(text, type)).sort((a, b) => a.from - b.from || b.to - a.to);
  const joined: PiiFinding[] = [];
  for (const found of all) {
    const last = joined.at(-1);
    if (last === undefined || found.from >= last.to) joined.push(found);
    else joined[joined.length - 1] = { ...last, to: Math.max(last.to, found.to) };
  }
  return joined;
}

function findOne(text: string, type: PiiType): PiiFinding[] {
  const pattern = compiledPattern(type);
  const { accepts } = PII_PATTERNS[type];
  const found: PiiFinding[] = [];
  const matcher = pattern.matcher(text);
  for (let at = 0; matcher.find(at);) {
    const from = matcher.start();
    const candidate = matcher.group() ?? '';
    const length = accepts === undefined ? candidate.length : accepts(candidate);
    if (length > 0) found.push({ type, from, to: from + length });
    // A rejected candidate may hold another one behind its first group.
    at = from + (length > 0 ? length : Math.max(1, firstGroup(candidate)));
  }
  return found;
}

function firstGroup(candidate: string): number {
  return candidate.search(/[ -]/u) + 1;
}

/** Returns the longest prefix of a candidate that is accepted and ends at the end of a group. */
function longestPart(candidate: string, separator: RegExp, accepts: (plain: string) => boolean): number {
  for (let end = candidate.length; end > 0; end = lastBreak(candidate, separator, end)) {
    if (accepts(candidate.slice(0, end).replaceAll(/[ -]/gu, ''))) return end;
  }
  return 0;
}

function lastBreak(candidate: string, separator: RegExp, end: number): number {
  for (let i = end - 1; i > 0; i--) if (separator.test(candidate[i] ?? '')) return i;
  return 0;
}

/** Whether these are 12 to 19 digits with Luhn's check digit. */
function isCard(digits: string): boolean {
  if (digits.length < 12 || digits.length > 19) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** Whether this is an IBAN by ISO 13616: with letters as two digits, the number is 1 modulo 97. */
function isIban(plain: string): boolean {
  if (plain.length < 15 || plain.length > 34) return false;
  let rest = 0;
  for (const character of plain.slice(4) + plain.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (value > 9 ? rest * 100 + value : rest * 10 + value) % 97;
  }
  return rest === 1;
}
