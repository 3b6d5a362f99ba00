/* Idempotency: what is sent twice with one key runs once, and both senders follow the same response. */

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseStore } from '../state/conversation-store.js';
import { type EventLog, LOG_TIMES } from '../state/event-log.js';
import { type IdempotencyStore } from '../state/idempotency-store.js';

/** A key of the caller's, and the digest of the body it stands for. */
export interface IdempotencyUse {
  readonly key: string;
  readonly fingerprint: string;
}

export interface OnceTimes {
  /** From when on a key without a log counts as left behind: whoever held it has died on the way, or is shut out by now. */
  readonly leftBehindMs: number;
  /** A key this old may stand for a response that is no longer kept; it never starts another. */
  readonly forgottenMs: number;
}

/** Longer than a lease; and no longer than an ended log is kept at least. */
const ONCE_TIMES: OnceTimes = { leftBehindMs: 10_000, forgottenMs: LOG_TIMES.endedUnstoredMs };
const LOOK_EVERY_MS = 25;

export class Once {
  readonly #keys: IdempotencyStore;
  readonly #log: EventLog;
  readonly #responses: ResponseStore;
  readonly #times: OnceTimes;

  constructor(keys: IdempotencyStore, log: EventLog, responses: ResponseStore, times: OnceTimes = ONCE_TIMES) {
    this.#keys = keys;
    this.#log = log;
    this.#responses = responses;
    this.#times = times;
  }

  /**
   * Null: nothing stands in the way, `responseId` may be started. Else the response that the same request has started before.
   * @throws SluiceError `idempotency_key_reused`: the key stands for another body
   */
  async claim(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<string | null> {
    if (use === undefined) return null;
    const own = { owner: caller.owner, ...use };
    for (;;) {
      const claim = await this.#keys.claim({ ...own, responseId });
      if (claim.outcome === 'fresh') return null;
      if (claim.outcome === 'different') throw reused();
      const { responseId: known, ageMs } = claim;
      if (await this.#appears(known, this.#times.leftBehindMs - ageMs)) return known;
      if (ageMs > this.#times.forgottenMs) return known;
      // Only from whom it was left by: of two that find it so, one begins anew.
      await this.#keys.release({ ...own, responseId: known });
    }
  }

  async release(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<void> {
    if (use !== undefined) await this.#keys.release({ owner: caller.owner, ...use, responseId }).catch(() => undefined);
  }

  /** The first of two requests at once holds the key a moment before its log stands. */
  async #appears(responseId: string, withinMs: number): Promise<boolean> {
    for (const until = Date.now() + withinMs; ;) {
      if ((await this.#log.read(responseId, -1, 0)) !== undefined) return true;
      if ((await this.#responses.get(responseId)) !== undefined) return true;
      if (Date.now() >= until) return false;
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }
}

function reused(): SluiceError {
  return new SluiceError(
    'idempotency_key_reused',
    'unable to use this idempotency key; it stands for a request with another body; use a new key for a new request',
  );
}
