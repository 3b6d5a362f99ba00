/*
 * Decides what a log line may contain: own errors in full, foreign errors without their messages,
 * nothing that looks like a secret.
 */

import { isNativeError } from 'node:util/types';
import { ConfigError } from '../config/config-error.js';
import { REDACTED, type Secret, scrub } from '../config/secret.js';
import { LogOnlyCause, SluiceError } from '../domain/errors.js';

/** Fields that are removed from the first three levels of a line. */
const REDACTED_FIELDS: readonly string[] = [
  'authorization',
  'cookie',
  'set-cookie',
  'sec-websocket-protocol',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'api_key',
  'apiKey',
  'password',
  'token',
  'secret',
];
const REDACTED_NAMES: ReadonlySet<string> = new Set(REDACTED_FIELDS);
const REDACTED_LEVELS = 3;
export const HIDDEN_FIELDS: readonly string[] = ['headers', 'body', 'req', 'res', 'request', 'response'];

/**
 * Returns the fields of a line without secrets: `fields` itself if none is redacted, else a copy.
 * pino's own redaction walks every path with a wildcard for every field of a line, which made it
 * two thirds of the cost of a line.
 * @param fields never changed
 */
export function redactFields(fields: Record<string, unknown>, levels = REDACTED_LEVELS): Record<string, unknown> {
  let kept = fields;
  for (const [name, value] of Object.entries(fields)) {
    const shown = REDACTED_NAMES.has(name) && value !== undefined ? REDACTED : redactValue(value, levels - 1);
    if (shown === value) continue;
    if (kept === fields) kept = { ...fields };
    kept[name] = shown;
  }
  return kept;
}

/**
 * Returns a value of a line without secrets. Leaves errors to their serializer, and objects that
 * write themselves to their `toJSON`.
 */
export function redactValue(value: unknown, levels = REDACTED_LEVELS): unknown {
  if (typeof value !== 'object' || value === null || levels <= 0) return value;
  if (Array.isArray(value)) {
    const kept = value.map((one) => redactValue(one, levels - 1));
    return kept.some((one, i) => one !== value[i]) ? kept : value;
  }
  if (isNativeError(value) || 'toJSON' in value) return value;
  // Any other object is written by its own fields.
  return redactFields(value as Record<string, unknown>, levels);
}

const CAUSES_MAX = 4;
// Shorter secrets could be part of ordinary words, and removing them there would reveal them.
const SECRET_MIN_CHARACTERS = 6;

interface LoggedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string | number;
  readonly status?: number;
  readonly stack?: string;
  readonly cause?: LoggedError;
}

/**
 * Returns the loggable form of an error. Own errors keep type, code and message. Foreign errors may
 * quote their input (a provider its request, a parser its text), so only their type, code, status
 * and place are kept. An expected error and its causes have no stack: code and message say
 * everything, and an outage writes thousands of them.
 */
export function loggedError(thrown: unknown): LoggedError {
  return describe(thrown, 0, !isExpected(thrown));
}

function describe(thrown: unknown, depth: number, withStack: boolean): LoggedError {
  if (!isNativeError(thrown)) return { type: typeof thrown, message: 'a value that is not an error was thrown' };
  const { code, status } = thrown as { code?: unknown; status?: unknown };
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const message = isOwnError(thrown) ? scrub(thrown.message) : '(message of a foreign error, not logged)';
  return {
    type: thrown.name,
    message,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(typeof status === 'number' && { status }),
    ...(withStack && { stack: [`${thrown.name}: ${message}`, ...frames].join('\n') }),
    ...(thrown.cause !== undefined &&
      thrown.cause !== null &&
      depth < CAUSES_MAX && { cause: describe(thrown.cause, depth + 1, withStack) }),
  };
}

/**
 * Whether an error is expected. `server_error` is a bug, unless its cause is the status that a
 * provider answered.
 */
function isExpected(thrown: unknown): boolean {
  if (!(thrown instanceof SluiceError)) return false;
  return thrown.code !== 'server_error' || thrown.cause instanceof LogOnlyCause;
}

// The language's and the platform's own errors that name properties and operations, not content (a
// SyntaxError quotes what it parsed).
const PLAIN = new Set(['TypeError', 'RangeError', 'ReferenceError', 'AbortError', 'TimeoutError']);

/**
 * Whether the message of an error may be logged: that of own errors, and of Node's (ECONNREFUSED,
 * …), which name only addresses and files.
 */
function isOwnError(error: Error): boolean {
  if (error instanceof SluiceError || error instanceof ConfigError || error instanceof LogOnlyCause) return true;
  return PLAIN.has(error.name) || ('syscall' in error && 'errno' in error);
}

/**
 * Returns a function that removes known secrets, and text that looks like a secret, from a finished
 * line.
 */
export function lineScrubber(secrets: readonly Secret[]): (line: string) => string {
  const known = secrets
    .map((secret) => secret.reveal())
    .filter((value) => value.length >= SECRET_MIN_CHARACTERS)
    // A line is JSON, so compare the secrets as JSON writes them. Longest first, since one secret
    // may contain another.
    .flatMap((value) => [
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value),
      Buffer.from(value).toString('base64'),
    ])
    .sort((a, b) => b.length - a.length);
  return (line) => scrub(known.reduce((text, value) => text.replaceAll(value, REDACTED), line));
}
