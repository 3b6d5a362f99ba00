/*
 * Announcements of new responses to whoever watches a conversation: told by a message, and kept for a while, so that who could not hear for a
 * moment asks what was told meanwhile. Knows nothing of the queue of writers that shares the channel.
 */

import { type RedisKeys } from '../redis-keys.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type Scripts } from '../scripts.js';
import { type Subscriptions } from '../connection/subscriptions.js';

export interface AnnouncementsOptions {
  readonly commands: RedisCommands;
  readonly subscriptions: Subscriptions;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  /** How long to wait before Redis is asked again where it does not answer, in milliseconds. */
  readonly retryMs: number;
}

/** Most announcements kept of one conversation: turns run one at a time, so that is more than any gap has. */
const KEPT = 64;
/** First letter of the message, which announce.lua writes. */
const ANNOUNCED = 'a';

export class Announcements {
  readonly #options: AnnouncementsOptions;

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
  }

  /** @throws SluiceError `state_unavailable` */
  async announce(conversationId: string, responseId: string): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    const args = [responseId, keys.turns(conversationId), KEPT];
    await commands.run(scripts.get('announce'), [keys.announced(conversationId)], args);
  }

  /** As `ConversationClaim.watch`. @throws SluiceError `state_unavailable` */
  async watch(
    conversationId: string,
    onResponse: (responseId: string) => void,
    onGap: () => void,
  ): Promise<() => void> {
    const { subscriptions, keys } = this.#options;
    // Read before it listens: whatever is announced later is not in it.
    const catchUp = new CatchUp({
      kept: () => this.#kept(conversationId),
      before: await this.#kept(conversationId),
      onResponse,
      retryMs: this.#options.retryMs,
    });
    const leave = await subscriptions.listen(keys.turns(conversationId), {
      onMessage: (message) => {
        if (message.startsWith(ANNOUNCED)) onResponse(message.slice(ANNOUNCED.length));
      },
      onGap: () => {
        catchUp.look();
        onGap();
      },
    });
    return () => {
      catchUp.end();
      leave();
    };
  }

  async #kept(conversationId: string): Promise<readonly string[]> {
    const { commands, keys } = this.#options;
    return (await commands.call('LRANGE', keys.announced(conversationId), 0, -1)) as readonly string[];
  }
}

interface CatchUpOptions {
  readonly kept: () => Promise<readonly string[]>;
  /** What was announced before the watch. */
  readonly before: readonly string[];
  readonly onResponse: (responseId: string) => void;
  readonly retryMs: number;
}

/** Tells what was announced since the last look, one look at a time, and again for as long as Redis does not answer. */
class CatchUp {
  readonly #options: CatchUpOptions;
  #known: ReadonlySet<string>;
  #looking = false;
  #again = false;
  #over = false;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    this.#known = new Set(options.before);
  }

  look(): void {
    this.#again = true;
    if (!this.#looking) void this.#look();
  }

  end(): void {
    this.#over = true;
  }

  async #look(): Promise<void> {
    const { kept, retryMs } = this.#options;
    this.#looking = true;
    while (this.#again && !this.#over) {
      this.#again = false;
      try {
        const announced = await kept();
        const missed = announced.filter((responseId) => !this.#known.has(responseId));
        this.#known = new Set(announced);
        for (const responseId of missed) this.#tell(responseId);
      } catch {
        this.#again = true;
        await new Promise<void>((resolve) => setTimeout(resolve, retryMs).unref());
      }
    }
    this.#looking = false;
  }

  #tell(responseId: string): void {
    if (!this.#over) this.#options.onResponse(responseId);
  }
}
