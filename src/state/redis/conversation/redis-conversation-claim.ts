/*
 * The queue of writers of each conversation in Redis. Who waits is woken by a message and looks for itself once a second; a head that never
 * began or has ended without leaving is put out by whoever it holds up.
 */

import { ConversationClaim, conversationBusy } from '../../conversation-claim.js';
import { type Announcements } from './redis-conversation-announcements.js';
import { type RedisKeys } from '../redis-keys.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { stateUnavailable } from '../connection/redis-errors.js';
import { type Scripts } from '../scripts.js';
import { type Subscriptions } from '../connection/subscriptions.js';

export interface RedisConversationClaimOptions {
  readonly commands: RedisCommands;
  readonly subscriptions: Subscriptions;
  readonly announcements: Announcements;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  /** How long a head may be without a log. */
  readonly leaseMs: number;
  readonly pollMs: number;
}

const QUEUE_TTL_MS = 24 * 60 * 60_000;
/** First letter of the message that the head has changed. */
const HEAD = 'h';

interface Look {
  /** −1: not in the queue. */
  readonly place: number;
  readonly head: string;
  /** How long the head has been in the queue. */
  readonly headAgeMs: number;
  /** Names the head's stay in the queue: a head that joined again has another one. */
  readonly headScore: string;
}

export class RedisConversationClaim extends ConversationClaim {
  readonly #options: RedisConversationClaimOptions;

  constructor(options: RedisConversationClaimOptions) {
    super();
    this.#options = options;
  }

  override async join(conversationId: string, responseId: string, maxWaiting: number): Promise<{ first: boolean }> {
    for (let dropped = 0; ; dropped += 1) {
      const place = await this.#join(conversationId, responseId, maxWaiting);
      if (place >= 0) return { first: place === 0 };
      // Nobody may be waiting who would find a dead head, so a refusal looks first; dead heads may stand behind each other.
      const look = await this.#look(conversationId, responseId);
      if (dropped > maxWaiting + 1 || !(await this.#dropStale(conversationId, look)))
        throw conversationBusy(maxWaiting);
    }
  }

  override async rejoin(conversationId: string, responseId: string, maxWaiting: number): Promise<{ first: boolean }> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, maxWaiting, QUEUE_TTL_MS, keys.turns(conversationId)];
    const place = Number(await commands.run(scripts.get('claim-rejoin'), [keys.queue(conversationId)], args));
    return place >= 0 ? { first: place === 0 } : this.join(conversationId, responseId, maxWaiting);
  }

  override async wait(conversationId: string, responseId: string, signal: AbortSignal): Promise<void> {
    const { subscriptions, keys } = this.#options;
    signal.throwIfAborted();
    const bell = new Bell(signal);
    const listening = subscriptions
      .listen(keys.turns(conversationId), {
        onMessage: (message) => {
          if (message === HEAD + responseId) bell.ring();
        },
        onGap: () => bell.ring(),
      })
      // Without messages the poll still brings everyone their turn.
      .catch(() => () => undefined);
    try {
      await Promise.race([listening, bell.aborted]);
      for (let known = false; ; known = true) {
        const look = await this.#look(conversationId, responseId).catch(() => undefined);
        signal.throwIfAborted();
        if (look?.place === 0) return;
        if (look?.place === -1)
          throw known ? stateUnavailable(new Error('its queue is gone')) : neverJoined(conversationId, responseId);
        if (look !== undefined && (await this.#dropStale(conversationId, look).catch(() => false))) continue;
        await bell.heard(this.#options.pollMs);
      }
    } finally {
      bell.close();
      void listening.then((end) => end());
    }
  }

  override async leave(conversationId: string, responseId: string): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, keys.turns(conversationId)];
    await commands.run(scripts.get('claim-leave'), [keys.queue(conversationId)], args);
  }

  override async announce(conversationId: string, responseId: string): Promise<void> {
    await this.#options.announcements.announce(conversationId, responseId);
  }

  override async members(conversationId: string): Promise<readonly string[]> {
    const { commands, keys } = this.#options;
    return (await commands.call('ZRANGE', keys.queue(conversationId), 0, -1)) as readonly string[];
  }

  override async watch(
    conversationId: string,
    onResponse: (responseId: string) => void,
    onGap: () => void,
  ): Promise<() => void> {
    return this.#options.announcements.watch(conversationId, onResponse, onGap);
  }

  async #join(conversationId: string, responseId: string, maxWaiting: number): Promise<number> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, maxWaiting, QUEUE_TTL_MS];
    return Number(await commands.run(scripts.get('claim-join'), [keys.queue(conversationId)], args));
  }

  async #look(conversationId: string, responseId: string): Promise<Look> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, QUEUE_TTL_MS];
    const reply = await commands.run(scripts.get('claim-look'), [keys.queue(conversationId)], args);
    // claim-look.lua: place, head, age, score.
    const [place, head = '', headAgeMs = 0, headScore = ''] = reply as readonly [number, string?, number?, string?];
    return { place, head, headAgeMs, headScore };
  }

  /** Puts out a head whose turn has ended, or that has had no log for a whole lease. True: there is another head now, or none. */
  async #dropStale(conversationId: string, { head, headAgeMs, headScore }: Look): Promise<boolean> {
    const { commands, keys, leaseMs, scripts } = this.#options;
    if (head === '') return true;
    const [fence, ended] = (await commands.call('HMGET', keys.turn(head).meta, 'fence', 'ended')) as readonly (
      string | null
    )[];
    const stale = ended === '1' || (fence === null && headAgeMs > leaseMs);
    if (!stale) return false;
    // The head may begin its log and join again between the look and this command; leaving would put out a turn that runs. The score limits
    // this command to the stay that was looked at.
    const args = [head, keys.turns(conversationId), headScore];
    await commands.run(scripts.get('claim-leave'), [keys.queue(conversationId)], args);
    return true;
  }
}

function neverJoined(conversationId: string, responseId: string): Error {
  return new Error(`unable to wait for ${conversationId}; ${responseId} never joined its queue`);
}

/** Rung by messages, by time and by an abort; a ring while nobody listens is heard by the next who does. */
class Bell {
  /** Rejects with the signal's reason. */
  readonly aborted: Promise<never>;
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  #rung = false;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    const { promise, reject } = Promise.withResolvers<never>();
    this.aborted = promise;
    promise.catch(() => undefined);
    this.#onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves when it is rung or `ms` have passed; rejects when the signal aborts. */
  async heard(ms: number): Promise<void> {
    if (!this.#rung) {
      let timer: NodeJS.Timeout | undefined;
      const rung = new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, ms);
      });
      try {
        await Promise.race([rung, this.aborted]);
      } finally {
        clearTimeout(timer);
      }
    }
    this.#rung = false;
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}
