/*
 * Idempotency keys: a request that is sent twice with one key runs once, and both callers receive
 * the same response.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type IdempotencyStore, type KeyUse } from '../state/idempotency-store.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';

/** An idempotency key of the caller, and the digest of the request body that it was sent with. */
export interface IdempotencyUse {
  readonly key: string;
  readonly fingerprint: string;
}

/**
 * Milliseconds after which a key without a begun response counts as abandoned. Its holder has died,
 * or its `confirm` fails when it resumes.
 */
const ABANDONED_AFTER_MS = 10_000;
/**
 * How long the withdrawal of a key is retried while the store is unavailable, in milliseconds. Only
 * turns that were beginning when the store went away withdraw a key, so these are few.
 */
const WITHDRAWN_WITHIN_MS = 15 * 60_000;
const LOOK_FIRST_MS = 25;
const LOOK_MOST_MS = 200;

export class Idempotency {
  readonly #keys: IdempotencyStore;
  readonly #abandonedAfterMs: number;
  readonly #time: Time;

  constructor(keys: IdempotencyStore, abandonedAfterMs = ABANDONED_AFTER_MS, time: Time = systemTime) {
    this.#keys = keys;
    this.#abandonedAfterMs = abandonedAfterMs;
    this.#time = time;
  }

  /**
   * Takes the key for `responseId`. Waits while another request with the key is being started.
   * @returns null if the response may be started (call `confirm` before it does anything), else the
   * id of the response that the same request has started
   * @throws SluiceError `idempotency_key_reused` if the key was used with another body;
   * `state_unavailable`
   */
  async claim(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<string | null> {
    if (use === undefined) return null;
    const own = keyUse(caller, responseId, use);
    for (let delayMs = LOOK_FIRST_MS; ; delayMs = Math.min(delayMs * 2, LOOK_MOST_MS)) {
      const claim = await this.#keys.claim(own);
      if (claim.outcome === 'fresh') return null;
      if (claim.outcome === 'different') throw reused();
      if (claim.begun) return claim.responseId;
      // Several callers may find the same abandoned key. Releasing a key that one of them has
      // already taken again would run the request twice. Compare-and-delete on the abandoned
      // holder, so that only one caller starts over.
      if (claim.ageMs > this.#abandonedAfterMs) await this.#keys.release({ ...own, responseId: claim.responseId });
      else await sleep(this.#time, delayMs);
    }
  }

  /**
   * Marks the key's response as begun, after its log was created.
   * @returns false if another replica has taken the key over meanwhile: this response must be
   * discarded
   * @throws SluiceError `state_unavailable`: the response must not run, and its key is withdrawn
   */
  async confirm(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<boolean> {
    if (use === undefined) return true;
    const own = keyUse(caller, responseId, use);
    const time = this.#time;
    try {
      return await retryWhileUnavailable(() => this.#keys.confirm(own), { time });
    } catch (error) {
      // An attempt may have been executed, and only its reply was lost. The key is confirmed then,
      // `release` has no effect, and every repeat would join the refused response. This withdraws
      // the key as soon as the store answers.
      const lasting = { giveUpMs: WITHDRAWN_WITHIN_MS, time };
      void retryWhileUnavailable(() => this.#keys.withdraw(own), lasting).catch(() => undefined);
      throw error;
    }
  }

  /** Releases the key of a response that was refused. */
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
    'unable to use this idempotency key; it was used with another body; use a new key',
  );
}
