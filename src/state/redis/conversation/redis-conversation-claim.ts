/*
 * The claim queue of each conversation in Redis. A waiting turn is woken by a message and polls the
 * queue once a second. A turn that waits or would be refused evicts a stale head: one that never
 * created its log, or whose turn ended without leaving.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { ConversationClaim, conversationBusy } from '../../conversation-claim.js';
import { type RedisKeys } from '../redis-keys.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { stateUnavailable } from '../connection/redis-errors.js';
import { type Scripts } from '../scripts.js';
import { type Subscriptions } from '../connection/subscriptions.js';

export interface RedisConversationClaimOptions {
  readonly commands: RedisCommands;
  readonly subscriptions: Subscriptions;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  /** How long a head may have no log before it is stale, in milliseconds. */
  readonly leaseMs: number;
  /** How often a waiting turn reads the queue, in milliseconds. */
  readonly pollMs: number;
  readonly time?: Time;
}

/** How long a queue is stored after the last join or poll, in milliseconds. */
export const QUEUE_TTL_MS = 24 * 60 * 60_000;
/** First letter of the message that names the new head. */
const HEAD = 'h';

interface QueueState {
  /** Place in the queue, 0 for the head; −1 if it is not in the queue. */
  readonly place: number;
  readonly head: string;
  /** How long the head has been in the queue, in milliseconds. */
  readonly headAgeMs: number;
  /** Identifies this stay of the head in the queue: a head that joins again has another score. */
  readonly headScore: string;
}

export class RedisConversationClaim extends ConversationClaim {
  readonly #options: RedisConversationClaimOptions;

  constructor(options: RedisConversationClaimOptions) {
    super();
    this.#options = options;
  }

  override async join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ first: boolean }> {
    for (let evicted = 0; ; evicted += 1) {
      const place = await this.#join(conversationId, responseId, maxWaiting);
      if (place >= 0) return { first: place === 0 };
      // Before refusing, evict stale heads: without waiting turns no other turn would. There may be
      // several in a row.
      const queue = await this.#readQueue(conversationId, responseId);
      if (evicted > maxWaiting + 1 || !(await this.#evictStaleHead(conversationId, queue)))
        throw conversationBusy(maxWaiting);
    }
  }

  override async rejoin(
    conversationId: string,
    responseId: string,
    maxWaiting: number,
    call: string,
  ): Promise<{ first: boolean }> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, maxWaiting, QUEUE_TTL_MS, keys.turns(conversationId)];
    const names = [keys.queue(conversationId), keys.rejoin(conversationId, call)];
    const place = Number(await commands.run(scripts.get('claim-join'), names, args));
    return place >= 0 ? { first: place === 0 } : this.join(conversationId, responseId, maxWaiting);
  }

  override async wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void> {
    const { subscriptions, keys, time = systemTime } = this.#options;
    signal.throwIfAborted();
    const wakeUp = new WakeUp(signal, time);
    const listening = subscriptions
      .listen(keys.turns(conversationId), {
        onMessage: (message) => {
          if (message === HEAD + responseId) wakeUp.set();
        },
        onGap: () => wakeUp.set(),
      })
      // Without messages the poll still notices when the turn is the head.
      .catch(() => () => undefined);
    try {
      await Promise.race([listening, wakeUp.aborted]);
      for (let known = false; ; known = true) {
        const queue = await this.#readQueue(conversationId, responseId).catch(() => undefined);
        signal.throwIfAborted();
        if (queue?.place === 0) return;
        if (queue?.place === -1)
          throw known ? stateUnavailable(new Error('its queue is gone')) : neverJoined(conversationId, responseId);
        if (queue !== undefined && (await this.#evictStaleHead(conversationId, queue).catch(() => false))) continue;
        await wakeUp.wait(this.#options.pollMs);
      }
    } finally {
      wakeUp.close();
      void listening.then((end) => end());
    }
  }

  override async leave(conversationId: string, responseId: string): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, keys.turns(conversationId)];
    await commands.run(scripts.get('claim-leave'), [keys.queue(conversationId)], args);
  }

  override async members(conversationId: string): Promise<readonly string[]> {
    const { commands, keys } = this.#options;
    return (await commands.call('ZRANGE', keys.queue(conversationId), 0, -1)) as readonly string[];
  }

  async #join(conversationId: string, responseId: string, maxWaiting: number): Promise<number> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, maxWaiting, QUEUE_TTL_MS];
    return Number(await commands.run(scripts.get('claim-join'), [keys.queue(conversationId)], args));
  }

  async #readQueue(conversationId: string, responseId: string): Promise<QueueState> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, QUEUE_TTL_MS];
    const reply = await commands.run(scripts.get('claim-look'), [keys.queue(conversationId)], args);
    // claim-look.lua: place, head, age, score.
    const [place, head = '', headAgeMs = 0, headScore = ''] = reply as readonly [number, string?, number?, string?];
    return { place, head, headAgeMs, headScore };
  }

  /**
   * Evicts a head whose turn has ended, or that has had no log for a whole lease.
   * @returns whether the queue has another head now, or none
   */
  async #evictStaleHead(conversationId: string, { head, headAgeMs, headScore }: QueueState): Promise<boolean> {
    const { commands, keys, leaseMs, scripts } = this.#options;
    if (head === '') return true;
    const [fence, ended] = (await commands.call('HMGET', keys.turn(head).meta, 'fence', 'ended')) as readonly (
      string | null
    )[];
    const stale = ended === '1' || (fence === null && headAgeMs > leaseMs);
    if (!stale) return false;
    // The head can create its log and join again between the read of the queue and this command.
    // Removing it by id alone would evict a running turn. The command names the score, so it
    // removes only the stay that was read.
    const args = [head, keys.turns(conversationId), headScore];
    await commands.run(scripts.get('claim-leave'), [keys.queue(conversationId)], args);
    return true;
  }
}

function neverJoined(conversationId: string, responseId: string): Error {
  return new Error(`unable to wait for ${conversationId}; ${responseId} never joined its queue`);
}

/**
 * Wake-up signal, set by a message, a timeout or an abort. A signal without a waiter is kept for
 * the next one.
 */
class WakeUp {
  /** Rejects with the signal's reason. */
  readonly aborted: Promise<never>;
  readonly #signal: AbortSignal;
  readonly #time: Time;
  readonly #onAbort: () => void;
  #isSet = false;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal, time: Time) {
    this.#time = time;
    this.#signal = signal;
    const { promise, reject } = Promise.withResolvers<never>();
    this.aborted = promise;
    promise.catch(() => undefined);
    this.#onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  set(): void {
    this.#isSet = true;
    this.#wake?.();
  }

  /**
   * Resolves when the signal is set or `ms` milliseconds have passed. Rejects with the abort's
   * reason.
   */
  async wait(ms: number): Promise<void> {
    if (!this.#isSet) {
      let cancel = (): void => undefined;
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
        cancel = this.#time.after(ms, resolve);
      });
      try {
        await Promise.race([woken, this.aborted]);
      } finally {
        cancel();
      }
    }
    this.#isSet = false;
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}
