/* What may stand in a log line: own errors in full, foreign ones without what they quote, nothing that looks like a secret. */

import { isNativeError } from 'node:util/types';
import { ConfigError } from '../config/config-error.js';
import { REDACTED, type Secret, scrub } from '../config/secret.js';
import { LogOnlyCause, SluiceError } from '../domain/errors.js';

/** Fields that are never written, wherever code puts them on the first two levels of a line. */
const NEVER = [
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
export const REDACTED_PATHS: readonly string[] = NEVER.flatMap((name) => {
  const at = /^\w+$/.test(name) ? `.${name}` : `["${name}"]`;
  return [at.replace(/^\./, ''), `*${at}`, `*.*${at}`];
});
export const HIDDEN_FIELDS: readonly string[] = ['headers', 'body', 'req', 'res', 'request', 'response'];

const CAUSES_MAX = 4;
// Shorter ones could be part of ordinary words, and blanking them would tell what they are.
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
 * An error for the log. Own errors keep type, code, message and stack. Foreign errors may quote what they were given (a provider
 * its request, a parser its input), so of them only type, code, status and where they were thrown are kept.
 */
export function loggedError(thrown: unknown, depth = 0): LoggedError {
  if (!isNativeError(thrown)) return { type: typeof thrown, message: 'something that is no error was thrown' };
  const { code, status } = thrown as { code?: unknown; status?: unknown };
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const message = mayTell(thrown) ? scrub(thrown.message) : '(message of a foreign error, not kept)';
  return {
    type: thrown.name,
    message,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(typeof status === 'number' && { status }),
    stack: [`${thrown.name}: ${message}`, ...frames].join('\n'),
    ...(thrown.cause !== undefined &&
      thrown.cause !== null &&
      depth < CAUSES_MAX && { cause: loggedError(thrown.cause, depth + 1) }),
  };
}

// The language's and the platform's own errors that name properties and operations, not content (a SyntaxError quotes what it parsed).
const PLAIN = new Set(['TypeError', 'RangeError', 'ReferenceError', 'AbortError', 'TimeoutError']);

/** Own errors by contract; Node's (ECONNREFUSED, EADDRINUSE …) name addresses and files only. */
function mayTell(error: Error): boolean {
  if (error instanceof SluiceError || error instanceof ConfigError || error instanceof LogOnlyCause) return true;
  return PLAIN.has(error.name) || ('syscall' in error && 'errno' in error);
}

/** Takes the very characters of known secrets, and whatever is shaped like one, out of a finished line. */
export function lineScrubber(secrets: readonly Secret[]): (line: string) => string {
  const known = secrets
    .map((secret) => secret.reveal())
    .filter((value) => value.length >= SECRET_MIN_CHARACTERS)
    // A line is JSON, so the characters stand in it as JSON writes them; the longest first, since one may contain another.
    .flatMap((value) => [
      JSON.stringify(value).slice(1, -1),
      encodeURIComponent(value),
      Buffer.from(value).toString('base64'),
    ])
    .sort((a, b) => b.length - a.length);
  return (line) => scrub(known.reduce((text, value) => text.replaceAll(value, REDACTED), line));
}
