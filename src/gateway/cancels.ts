/*
 * Cancels by response id on one connection. Waits for their outcome if the client does not follow
 * the response.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type SluiceEvent } from '../protocol/socket/server-events.js';
import { type ResponseReader } from '../turn/response-reader.js';
import { type TurnService } from '../turn/turn.service.js';
import { type Outbound } from './outbound.js';

export interface CancelsOptions {
  readonly turns: Pick<TurnService, 'cancel'>;
  readonly reader: Pick<ResponseReader, 'settled'>;
  readonly outbound: Outbound;
  readonly sendEvent: (event: SluiceEvent) => void;
  readonly onRefused: (error: unknown) => void;
}

/** A cancel waits this long for the terminal event: the turn of a lost replica ends within 12 s. */
const WAIT_MS = 12_000;
/** Most outcomes that one connection may wait for at once. */
const WAITS_MAX = 64;

export class Cancels {
  readonly #options: CancelsOptions;
  readonly #ended = new AbortController();
  #waits = 0;

  constructor(options: CancelsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the cancel was requested. Its outcome is sent later.
   * @throws SluiceError `response_not_found`, `too_many_responses`
   */
  async cancel(caller: Principal, responseId: string): Promise<void> {
    const { turns, outbound, onRefused } = this.#options;
    const following = outbound.followings.get(responseId);
    await turns.cancel(caller, responseId);
    if (following === undefined) return this.#waitForOutcome(caller, responseId);
    // A client that follows the response sees the terminal event, unless it unsubscribes before.
    void following.end.then((end) => {
      if (end !== 'left') return;
      try {
        this.#waitForOutcome(caller, responseId);
      } catch (thrown) {
        onRefused(thrown);
      }
    });
  }

  /** Ends all waits: the connection is gone. */
  close(): void {
    this.#ended.abort();
  }

  /** Sends the outcome of a cancel later. @throws SluiceError `too_many_responses` */
  #waitForOutcome(caller: Principal, responseId: string): void {
    if (this.#waits >= WAITS_MAX) {
      throw new SluiceError(
        'too_many_responses',
        `unable to wait for another response; this connection waits for ${WAITS_MAX} already; wait for one to end`,
        { retryAfterMs: 1_000 },
      );
    }
    this.#waits += 1;
    void this.#sendOutcome(caller, responseId);
  }

  async #sendOutcome(caller: Principal, responseId: string): Promise<void> {
    const { reader, sendEvent, onRefused } = this.#options;
    try {
      const { status } = await reader.settled(caller, responseId, this.#ended.signal, WAIT_MS);
      sendEvent({ type: 'sluice:cancelled', response_id: responseId, status });
    } catch (thrown) {
      onRefused(thrown);
    } finally {
      this.#waits -= 1;
    }
  }
}
