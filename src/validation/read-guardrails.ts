/*
 * Reads a list of guardrails as the configuration and packs write it, and reports every mistake in
 * it with a JSON pointer. Knows neither file.
 */

import { nearest } from '../domain/nearest.js';
import { compileGuardrails } from './compile-guardrails.js';
import { DIRECTIONS, type GuardrailSpec } from './guardrail.js';
import { GuardrailMistake } from './guardrails/params.js';

interface ListMistake {
  /** A JSON pointer into the list: `/0/params/words/3`. */
  readonly pointer: string;
  readonly what: string;
}

export interface GuardrailList {
  readonly guardrails: readonly GuardrailSpec[];
  /** Empty if the list can be used. */
  readonly mistakes: readonly ListMistake[];
}

const KEYS = [
  'type',
  'enabled',
  'direction',
  'mode',
  'fail_on_violation',
  'buffer',
  'on_error',
  'timeout_ms',
  'message',
  'params',
] as const;

/**
 * Reads a list of guardrails: `type`, `enabled` (true), `direction` (`input`, `output` or `both`;
 * the kind's own), `mode` (`enforce` or `monitor`; `fail_on_violation: false` is `monitor`),
 * `message`, `params`, `buffer` (false), `on_error` (`deny` or `allow`) and `timeout_ms`.
 * `direction` and `message` are also read inside `params`, where PromptKit's packs have them.
 */
export function guardrailsFrom(list: unknown): GuardrailList {
  if (list === undefined || list === null) return { guardrails: [], mistakes: [] };
  if (!Array.isArray(list))
    return { guardrails: [], mistakes: [{ pointer: '', what: 'must be a list of guardrails' }] };
  const mistakes: ListMistake[] = [];
  const guardrails = list.map((entry: unknown, i) => {
    const reader = new EntryReader(`/${i}`, entry, mistakes);
    return reader.read();
  });
  return { guardrails: guardrails.filter((one) => one !== undefined), mistakes };
}

class EntryReader {
  constructor(
    private readonly pointer: string,
    private readonly entry: unknown,
    private readonly mistakes: ListMistake[],
  ) {}

  read(): GuardrailSpec | undefined {
    if (!isObject(this.entry)) {
      this.#mistake('', 'must be an object with a `type`');
      return undefined;
    }
    const entry = this.entry;
    const before = this.mistakes.length;
    for (const key of Object.keys(entry)) {
      if (!KEYS.some((known) => known === key)) this.#mistake(`/${escaped(key)}`, unknownKey(key));
    }
    const given = isObject(entry['params']) ? entry['params'] : {};
    if (entry['params'] !== undefined && !isObject(entry['params'])) this.#mistake('/params', 'must be an object');
    const { direction: innerDirection, message: innerMessage, ...params } = given;
    const type = entry['type'];
    if (typeof type !== 'string') {
      this.#mistake('/type', type === undefined ? 'is missing; name a kind of guardrail' : 'must be text');
      return undefined;
    }
    const fails = this.#flag('fail_on_violation');
    const spec: GuardrailSpec = {
      type,
      enabled: this.#flag('enabled') ?? true,
      params,
      direction: this.#oneOf('direction', DIRECTIONS, entry['direction'] ?? innerDirection),
      mode: this.#oneOf('mode', ['enforce', 'monitor'] as const) ?? (fails === false ? 'monitor' : undefined),
      buffer: this.#flag('buffer'),
      onError: this.#oneOf('on_error', ['allow', 'deny'] as const),
      timeoutMs: this.#timeout(),
      message: this.#message(entry['message'] ?? innerMessage),
    };
    this.#compile(spec);
    return this.mistakes.length === before ? spec : undefined;
  }

  /**
   * Compiles the guardrail, also a disabled one, so that its mistakes are reported before it is
   * enabled.
   */
  #compile(spec: GuardrailSpec): void {
    try {
      compileGuardrails([{ ...spec, enabled: true }]);
    } catch (error) {
      if (!(error instanceof GuardrailMistake)) throw error;
      for (const { param, what } of error.mistakes) {
        if (error.unknownType) this.#mistake('/type', what);
        else this.#mistake(param === '' ? '/params' : `/params${pointerOf(param)}`, what);
      }
    }
  }

  #timeout(): number | undefined {
    const value = this.#value('timeout_ms');
    if (value === undefined) return undefined;
    if (typeof value === 'number' && value >= 1 && value <= 60_000) return value;
    this.#mistake('/timeout_ms', 'must be a number of milliseconds from 1 to 60000');
    return undefined;
  }

  #message(value: unknown): string | undefined {
    if (value === undefined || (typeof value === 'string' && value !== '')) return value;
    this.#mistake('/message', 'must be text for the user');
    return undefined;
  }

  #flag(key: string): boolean | undefined {
    const value = this.#value(key);
    if (value === undefined || typeof value === 'boolean') return value;
    this.#mistake(`/${key}`, 'must be true or false');
    return undefined;
  }

  #oneOf<const T extends string>(key: string, allowed: readonly T[], value = this.#value(key)): T | undefined {
    if (value === undefined) return undefined;
    const found = allowed.find((one) => one === value);
    if (found === undefined) this.#mistake(`/${key}`, `must be one of ${allowed.join(', ')}`);
    return found;
  }

  #value(key: string): unknown {
    const value = isObject(this.entry) ? this.entry[key] : undefined;
    return value ?? undefined;
  }

  #mistake(at: string, what: string): void {
    this.mistakes.push({ pointer: this.pointer + at, what });
  }
}

function unknownKey(key: string): string {
  const likely = nearest(key, KEYS);
  return `is not known; known: ${KEYS.join(', ')}${likely === undefined ? '' : `; did you mean ${likely}?`}`;
}

/** `words[3]` becomes `/words/3`. */
function pointerOf(param: string): string {
  return `/${param.replaceAll(/\[(\d+)\]/gu, '/$1')}`;
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
