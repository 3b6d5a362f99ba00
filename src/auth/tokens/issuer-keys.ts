/*
 * The public keys of the tokens' issuer, from its JWKS URL. Keys that are known stay in use while
 * the issuer cannot be reached. An unknown key makes this replica fetch the list again, at most
 * once per cooldown, so that forged tokens cannot flood the issuer. A fetch without an answer is
 * repeated once.
 */

import { createLocalJWKSet, type CryptoKey, errors, type JWSHeaderParameters, type FlattenedJWSInput } from 'jose';
import { type JSONWebKeySet } from 'jose';
import { SluiceError } from '../../domain/errors.js';
import { systemTime, type Time } from '../../domain/time.js';

export interface IssuerKeysOptions {
  readonly url: string;
  /** Called after each fetch. `why` names the cause of a failure, without content of the answer. */
  readonly onFetched: (outcome: 'ok' | 'failed', why: string) => void;
  readonly time?: Time;
}

/** Age from which known keys are fetched again in the background, in milliseconds. */
const FRESH_MS = 10 * 60_000;
/** Least time between two fetches, in milliseconds. */
const COOLDOWN_MS = 30_000;
/** The same after a fetch that failed, and the time after which refused clients may try again. */
const FAILED_COOLDOWN_MS = 5_000;
/** Time limit of one attempt, in milliseconds. A fetch has two attempts. */
const ATTEMPT_WITHIN_MS = 5_000;
const MAX_BYTES = 1024 * 1024;
const MAX_KEYS = 100;

type KeySet = ReturnType<typeof createLocalJWKSet>;

export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  readonly #time: Time;
  #keys: KeySet | undefined;
  #fetchedAt = -Infinity;
  #triedAt = -Infinity;
  /** Whether the last fetch failed. */
  #away = false;
  #fetching: Promise<void> | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /** Fetches the keys before the first token needs them. Never throws. */
  warm(): void {
    void this.#fetch();
  }

  /**
   * Returns the key of a token, in the form that `jwtVerify` takes.
   * @throws JWKSNoMatchingKey if the issuer has no such key; JWKSMultipleMatchingKeys if the token
   * names none and several fit; SluiceError `auth_unavailable` if the key is unknown and the issuer
   * cannot be reached
   */
  readonly find = async (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> => {
    if (this.#time.now() - this.#fetchedAt > FRESH_MS) this.warm();
    const known = await this.#lookUp(header, token);
    if (known !== undefined) return known;
    await this.#fetch();
    const found = await this.#lookUp(header, token);
    if (found !== undefined) return found;
    if (this.#away || this.#keys === undefined) throw unavailable();
    throw new errors.JWKSNoMatchingKey();
  };

  async #lookUp(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey | undefined> {
    try {
      return await this.#keys?.(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined;
      throw error;
    }
  }

  /**
   * Fetches the keys unless that was tried within the cooldown. Concurrent callers share one fetch.
   */
  #fetch(): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    if (this.#time.now() - this.#triedAt < (this.#away ? FAILED_COOLDOWN_MS : COOLDOWN_MS)) return Promise.resolve();
    this.#triedAt = this.#time.now();
    this.#fetching = this.#load()
      .then(
        (keys) => {
          this.#keys = keys;
          this.#fetchedAt = this.#time.now();
          this.#away = false;
          this.#options.onFetched('ok', '');
        },
        (thrown: unknown) => {
          this.#away = true;
          this.#triedAt = this.#time.now();
          this.#options.onFetched('failed', causeOf(thrown));
        },
      )
      .finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  /**
   * Loads the list, once more if the issuer did not answer. While a replica starts, its event loop
   * can be busy for longer than the time limit, and the limit then ends an attempt whose answer is
   * there already.
   */
  async #load(): Promise<KeySet> {
    try {
      return await this.#attempt();
    } catch (thrown) {
      if (thrown instanceof KeysMistake) throw thrown;
      return this.#attempt();
    }
  }

  async #attempt(): Promise<KeySet> {
    const answer = await fetch(this.#options.url, {
      redirect: 'error',
      headers: { accept: 'application/jwk-set+json, application/json' },
      signal: AbortSignal.timeout(ATTEMPT_WITHIN_MS),
    });
    if (!answer.ok) {
      await answer.body?.cancel();
      throw new KeysMistake(`HTTP ${answer.status}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of answer.body ?? []) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw new KeysMistake('the answer is too large');
      chunks.push(chunk);
    }
    return keySetOf(Buffer.concat(chunks).toString());
  }
}

/**
 * An answer of the issuer that holds no keys. The message is Sluice's own and holds no content of
 * the answer.
 */
class KeysMistake extends Error {}

function keySetOf(text: string): KeySet {
  let keys: unknown;
  try {
    const set: unknown = JSON.parse(text);
    keys = typeof set === 'object' && set !== null && 'keys' in set ? set.keys : undefined;
  } catch {
    throw new KeysMistake('the answer is not JSON');
  }
  if (!Array.isArray(keys)) throw new KeysMistake('the answer is no list of keys');
  // Keep only the public keys of asymmetric algorithms. With an `oct` key, each reader of the list
  // could sign tokens.
  const usable = keys.slice(0, MAX_KEYS).filter((key) => isPublicKey(key));
  if (usable.length === 0) throw new KeysMistake('the answer has no usable key');
  // jose checks each key when it is used.
  return createLocalJWKSet({ keys: usable } as JSONWebKeySet);
}

function isPublicKey(key: unknown): boolean {
  return (
    typeof key === 'object' &&
    key !== null &&
    'kty' in key &&
    typeof key.kty === 'string' &&
    ['RSA', 'EC', 'OKP'].includes(key.kty)
  );
}

function causeOf(thrown: unknown): string {
  if (thrown instanceof KeysMistake) return thrown.message;
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError') return 'no answer in time';
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' ? code : 'the connection failed';
}

function unavailable(): SluiceError {
  return new SluiceError(
    'auth_unavailable',
    'unable to check this token; the keys of its issuer cannot be fetched; try again',
    { retryAfterMs: FAILED_COOLDOWN_MS },
  );
}
