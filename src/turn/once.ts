/* Idempotency: what is sent twice with one key runs once, and both senders follow the same response. */

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { type IdempotencyStore } from '../state/idempotency-store.js';

/** A key of the caller's, and the digest of the body it stands for. */
export interface IdempotencyUse {
  readonly key: string;
  readonly fingerprint: string;
}

/** How long the second of two equal requests waits for the first one's log. */
const APPEARS_WITHIN_MS = 2_000;
const LOOK_EVERY_MS = 25;

export class Once {
  readonly #keys: IdempotencyStore;
  readonly #log: EventLog;
  readonly #responses: ResponseStore;

  constructor(keys: IdempotencyStore, log: EventLog, responses: ResponseStore) {
    this.#keys = keys;
    this.#log = log;
    this.#responses = responses;
  }

  /**
   * Null: nothing stands in the way, `responseId` may be started. Else the response that the same request has started before.
   * @throws SluiceError `idempotency_key_reused`: the key stands for another body
   */
  async claim(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<string | null> {
    if (use === undefined) return null;
    const claim = await this.#keys.claim({ owner: caller.owner, ...use, responseId });
    switch (claim.outcome) {
      case 'fresh':
        return null;
      case 'same':
        await this.#appears(claim.responseId);
        return claim.responseId;
      case 'different':
        throw new SluiceError(
          'idempotency_key_reused',
          'unable to use this idempotency key; it stands for a request with another body; use a new key for a new request',
        );
    }
  }

  async release(caller: Principal, responseId: string, use: IdempotencyUse | undefined): Promise<void> {
    if (use !== undefined) await this.#keys.release({ owner: caller.owner, ...use, responseId }).catch(() => undefined);
  }

  /** The first of two requests at once holds the key a moment before its log stands. */
  async #appears(responseId: string): Promise<void> {
    for (const until = Date.now() + APPEARS_WITHIN_MS; Date.now() < until;) {
      if ((await this.#log.read(responseId, -1, 0)) !== undefined) return;
      if ((await this.#responses.get(responseId)) !== undefined) return;
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }
}
