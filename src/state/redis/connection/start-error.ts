/*
 * The error of a start without Redis: where, the cause in the driver's own code, and what to
 * change. `subject` names the setting, which the composition translates to a key of the file.
 */

import { SluiceError } from '../../../domain/errors.js';
import { meaningOf } from './redis-errors.js';

/** The setting that an operator should look at. */
export type StartSubject = 'address' | 'credentials' | 'sentinels' | 'mode' | 'tls' | 'database' | 'server';

export class RedisStartError extends SluiceError {
  constructor(
    readonly subject: StartSubject,
    readonly address: string,
    why: string,
    remedy: string,
    cause: unknown,
  ) {
    super('state_unavailable', `unable to use Redis at ${address}; ${why}; ${remedy}`, { cause, retryable: false });
  }
}

type Case = readonly [pattern: RegExp, subject: StartSubject, why: string, remedy: string];

const WITHOUT_TLS = 'is TLS right for that port (`redis:` or `rediss:`)?';

/**
 * By the codes and texts of Node, OpenSSL, ioredis and Redis. The first that fits, in any error of
 * the chain.
 */
const CASES: readonly Case[] = [
  [
    /^All sentinels are unreachable.*Last error: (NOAUTH|WRONGPASS)/,
    'sentinels',
    'its Sentinels do not accept the password',
    'correct it',
  ],
  [/\b(NOAUTH)\b/, 'credentials', 'it asks for a password and none is configured', 'set the password'],
  [
    /\b(WRONGPASS|ERR invalid password|ERR AUTH)\b/,
    'credentials',
    'it does not accept the user or the password',
    'correct them',
  ],
  [/\b(NOPERM)\b/, 'credentials', 'its user lacks a permission', 'grant what docs/operations/README.md lists'],
  [/cluster support disabled/i, 'mode', 'it is no Cluster', 'use mode `single`'],
  [/^(MOVED|ASK|CROSSSLOT)/, 'mode', 'it is a Cluster', 'use mode `cluster`'],
  [/\bunknown command '?`?SENTINEL/i, 'mode', 'it is no Sentinel', 'use mode `single`, or the address of a Sentinel'],
  [
    /Protocol error|Unknown RESP type/,
    'address',
    'what answers there does not speak the protocol of Redis',
    'correct the address',
  ],
  [
    /\b(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?)\b/,
    'tls',
    'no trusted authority signed its certificate',
    'name the authority',
  ],
  [/\b(ERR_TLS_CERT_ALTNAME_INVALID)\b/, 'tls', 'its certificate is for another name', 'correct the address'],
  [/\b(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)\b/, 'tls', 'its certificate is not valid now', 'renew it'],
  [
    /\b(ERR_SSL_TLSV\w*_CERTIFICATE_REQUIRED|ERR_SSL_\w*ALERT\w*|EPROTO|ERR_SSL_\w+)\b/,
    'tls',
    'TLS fails',
    `${WITHOUT_TLS} Does it ask for a certificate?`,
  ],
  [/\b(ENOTFOUND|EAI_AGAIN|EAI_NODATA)\b/, 'address', 'its name does not resolve', 'correct the address'],
  [/\b(ECONNREFUSED)\b/, 'address', 'nothing listens there', 'start Redis, or correct the address'],
  [
    /\b(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)\b|Command timed out|connect ETIMEDOUT/,
    'address',
    'it does not answer',
    'may this host reach it (firewall, NetworkPolicy), and is TLS right for that port?',
  ],
  [/\b(ECONNRESET|EPIPE)\b|Connection is closed/, 'tls', 'it closes the connection', WITHOUT_TLS],
];

/**
 * Returns the error to report for a start that failed.
 * @param last the last error of a connection, which is nearer to the cause than `thrown`
 */
export function startError(thrown: unknown, last: unknown, address: string): SluiceError {
  if (thrown instanceof RedisStartError || (thrown instanceof SluiceError && thrown.cause === undefined)) return thrown;
  const texts = [...textsOf(last), ...textsOf(thrown)];
  for (const [pattern, subject, why, remedy] of CASES) {
    for (const text of texts) {
      const code = pattern.exec(text)?.slice(1).find(Boolean);
      if (pattern.test(text)) {
        const named = code === undefined || code === code.toLowerCase() ? why : `${why} (${code})`;
        return new RedisStartError(subject, address, named, remedy, last ?? thrown);
      }
    }
  }
  const { why } = meaningOf(last ?? (thrown instanceof Error ? thrown.cause : thrown));
  return new RedisStartError('server', address, why, 'look at its log', last ?? thrown);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Returns code and message of an error, of its causes and of the errors that it joins. */
function textsOf(error: unknown): string[] {
  const texts: string[] = [];
  for (let at = error, depth = 0; isObject(at) && depth < 5; depth++) {
    const { code, message, lastNodeError, cause } = at;
    if (typeof code === 'string') texts.push(code);
    if (!(at instanceof SluiceError) && typeof message === 'string') texts.push(message);
    at = lastNodeError ?? cause;
  }
  return texts;
}
