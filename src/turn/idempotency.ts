/* Idempotency: what is sent twice with one key runs once, and both senders follow the same response. */

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type IdempotencyStore, type KeyUse } from '../state/idempotency-store.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';

/** A key of the caller's, and the digest of the body it stands for. */
export interface IdempotencyUse {
  readonly key: string;
  readonly fingerprint: string;
}

/** From when on a key whose response has not begun counts as left behind: whoever held it has died on the way, or is shut out when it wakes. */
const LEFT_BEHIND_MS = 10_000;
const LOOK_FIRST_MS = 25;
const LOOK_MOST_MS = 200;

export class Idempotency {
  readonly #keys: IdempotencyStore;
  readonly #leftBehindMs: number;
  readonly #time: Time;

  constructor(keys: IdempotencyStore, leftBehindMs = LEFT_BEHIND_MS, time: Time = systemTime) {
    this.#keys = keys;
    this.#leftBehindMs = leftBehindMs;
    this.#time = time;
  }

  /**
   * Null: nothing stands in the way, `responseId` may be started, and must be confirmed before it does anything. Else the response that the
   * same request has started; one that is just being started is waited for.
   * @throws SluiceError `idempotency_key_reused`: the key stands for another body; `state_unavailable`
   */
  async claim(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<string | null> {
    if (use === undefined) return null;
    const own = keyUse(caller, responseId, use);
    for (let delayMs = LOOK_FIRST_MS; ; delayMs = Math.min(delayMs * 2, LOOK_MOST_MS)) {
      const claim = await this.#keys.claim(own);
      if (claim.outcome === 'fresh') return null;
      if (claim.outcome === 'different') throw reused();
      if (claim.begun) return claim.responseId;
      // Only from whom it was left by: of two that find it so, one begins anew.
      if (claim.ageMs > this.#leftBehindMs) await this.#keys.release({ ...own, responseId: claim.responseId });
      else await sleep(this.#time, delayMs);
    }
  }

  /**
   * The response's log stands. False: it took so long that somebody else has begun another one, and this one must not go on.
   * @throws SluiceError `state_unavailable`
   */
  async confirm(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<boolean> {
    if (use === undefined) return true;
    return retryWhileUnavailable(() => this.#keys.confirm(keyUse(caller, responseId, use)), { time: this.#time });
  }

  /** Frees the key where its response was refused. */
  async release(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<void> {
    if (use !== undefined) await this.#keys.release(keyUse(caller, responseId, use)).catch(() => undefined);
  }
}

function keyUse({ owner }: Principal, responseId: string, { key, fingerprint }: IdempotencyUse): KeyUse {
  return { owner, key, fingerprint, responseId };
}

function reused(): SluiceError {
  return new SluiceError(
    'idempotency_key_reused',
    'unable to use this idempotency key; it stands for a request with another body; use a new key for a new request',
  );
}
