/*
 * Announcements of new responses in Redis: each is published, and stored in a list for a while, so
 * that a watcher reads there what it may have missed. Shares the channel of the claim queue, and
 * knows nothing of that queue.
 */

import { sleep, systemTime, type Time } from '../../../domain/time.js';
import { ConversationAnnouncements } from '../../conversation-announcements.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type Subscriptions } from '../connection/subscriptions.js';
import { type RedisKeys } from '../redis-keys.js';
import { type Scripts } from '../scripts.js';

export interface RedisConversationAnnouncementsOptions {
  readonly commands: RedisCommands;
  readonly subscriptions: Subscriptions;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  /** Pause before a failed read of the stored list is repeated, in milliseconds. */
  readonly retryMs: number;
  readonly time?: Time;
}

/** First letter of the message, which lua/shared/announce.lua writes. */
const ANNOUNCED = 'a';

export class RedisConversationAnnouncements extends ConversationAnnouncements {
  readonly #options: RedisConversationAnnouncementsOptions;

  constructor(options: RedisConversationAnnouncementsOptions) {
    super();
    this.#options = options;
  }

  override async announce(conversationId: string, responseId: string): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, keys.turns(conversationId)];
    await commands.run(scripts.get('announce'), [keys.announced(conversationId)], args);
  }

  override async watch(
    conversationId: string,
    onResponse: (responseId: string) => void,
    onGap: () => void,
  ): Promise<() => void> {
    const { subscriptions, keys } = this.#options;
    // A response can be announced between this read and the subscription. Reading the list after
    // the subscription would count it as known, and the watcher would never receive it. The list is
    // read first, so that response is not in it and the next catch-up reports it.
    const before = await this.#stored(conversationId);
    const missed = new MissedAnnouncements({
      stored: () => this.#stored(conversationId),
      before,
      onResponse,
      retryMs: this.#options.retryMs,
      time: this.#options.time ?? systemTime,
    });
    const stopListening = await subscriptions.listen(keys.turns(conversationId), {
      onMessage: (message) => {
        if (message.startsWith(ANNOUNCED)) onResponse(message.slice(ANNOUNCED.length));
      },
      onGap: () => {
        missed.read();
        onGap();
      },
    });
    return () => {
      missed.close();
      stopListening();
    };
  }

  async #stored(conversationId: string): Promise<readonly string[]> {
    const { commands, keys } = this.#options;
    return (await commands.call('LRANGE', keys.announced(conversationId), 0, -1)) as readonly string[];
  }
}

interface MissedAnnouncementsOptions {
  readonly stored: () => Promise<readonly string[]>;
  /** Announcements stored before the watch. */
  readonly before: readonly string[];
  readonly onResponse: (responseId: string) => void;
  readonly retryMs: number;
  readonly time: Time;
}

/**
 * Reports the announcements stored since the last read. Reads once at a time, and again until Redis
 * answers.
 */
class MissedAnnouncements {
  readonly #options: MissedAnnouncementsOptions;
  #known: ReadonlySet<string>;
  #reading = false;
  #again = false;
  #closed = false;

  constructor(options: MissedAnnouncementsOptions) {
    this.#options = options;
    this.#known = new Set(options.before);
  }

  read(): void {
    this.#again = true;
    if (!this.#reading) void this.#read();
  }

  close(): void {
    this.#closed = true;
  }

  async #read(): Promise<void> {
    const { stored, retryMs, time } = this.#options;
    this.#reading = true;
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        const announced = await stored();
        const missed = announced.filter((responseId) => !this.#known.has(responseId));
        this.#known = new Set(announced);
        for (const responseId of missed) this.#report(responseId);
      } catch {
        this.#again = true;
        await sleep(time, retryMs);
      }
    }
    this.#reading = false;
  }

  #report(responseId: string): void {
    if (!this.#closed) this.#options.onResponse(responseId);
  }
}
