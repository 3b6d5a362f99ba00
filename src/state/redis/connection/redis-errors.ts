/*
 * Maps errors of Redis and its connections to a closed list of reasons, and to `state_unavailable`.
 */

import { SluiceError } from '../../../domain/errors.js';

interface Meaning {
  /** Short code for metrics and log lines. */
  readonly reason: string;
  /** The cause in the error message. */
  readonly why: string;
}

const MEANINGS: readonly (readonly [RegExp, Meaning])[] = [
  [/^(NOAUTH|WRONGPASS|ERR invalid password|ERR AUTH)/, { reason: 'auth', why: 'it does not accept the password' }],
  [
    /^All sentinels are unreachable.*Last error: (NOAUTH|WRONGPASS)/,
    { reason: 'auth', why: 'its Sentinels do not accept the password' },
  ],
  [/^NOPERM/, { reason: 'auth', why: 'its user lacks a permission' }],
  [/^READONLY/, { reason: 'readonly', why: 'it is a read-only replica' }],
  [/^OOM/, { reason: 'out_of_memory', why: 'it is out of memory' }],
  [/^LOADING/, { reason: 'loading', why: 'it is loading its data' }],
  [/^MASTERDOWN/, { reason: 'master_down', why: 'it has lost its master' }],
  [/^(MISCONF|NOREPLICAS)/, { reason: 'refuses_writes', why: 'it refuses writes' }],
  [/^BUSY/, { reason: 'busy', why: 'it is busy with a script' }],
  [/^(CLUSTERDOWN|TRYAGAIN|Too many Cluster)/, { reason: 'cluster_down', why: 'part of its cluster is down' }],
  [
    /^(MOVED|ASK|CROSSSLOT)/,
    { reason: 'wrong_mode', why: 'it is a Cluster, but the configuration names a single server' },
  ],
  [/Command timed out/, { reason: 'timeout', why: 'it does not answer in time' }],
];
const UNREACHABLE: Meaning = { reason: 'unreachable', why: 'it cannot be reached' };
const FAILED: Meaning = { reason: 'failed', why: 'it failed' };

/** Returns the reason of an error; `unreachable` if it is no reply of Redis. */
export function meaningOf(error: unknown): Meaning {
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  return MEANINGS.find(([pattern]) => pattern.test(message))?.[1] ?? (name === 'ReplyError' ? FAILED : UNREACHABLE);
}

/** Returns a retryable `state_unavailable`. The cause reaches the log, not the client. */
export function stateUnavailable(cause: unknown): SluiceError {
  if (cause instanceof SluiceError) return cause;
  const { why } = meaningOf(cause);
  return new SluiceError('state_unavailable', `unable to use the state store; ${why}; try again in a moment`, {
    cause,
    retryAfterMs: 1_000,
  });
}

/** Whether Redis does not know a script by its digest. */
export function isNoScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

/** Whether the connection closed before the command was written or before its reply arrived. */
export function isClosed(error: unknown): boolean {
  return (
    error instanceof Error &&
    /isn't writeable|isn't ready|Connection is closed|max retries per request/.test(error.message)
  );
}
