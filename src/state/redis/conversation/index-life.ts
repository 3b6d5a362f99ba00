/*
 * The life of each owner's index of conversations, which uses of the conversations extend, and the
 * owners of the conversations that were used.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { longestTtl, type Retention } from '../../retention.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type RedisKeys } from '../redis-keys.js';
import { INDEX_SLACK_MS } from '../scripts.js';

export interface IndexLifeOptions extends Retention {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly time?: Time;
}

/** Most conversations whose owner is remembered. */
const OWNERS_MAX = 4_096;
/** Most owners whose index is known to have been extended. */
const EXTENDED_MAX = 4_096;

export class IndexLife {
  readonly #options: IndexLifeOptions;
  /** When the life of an owner's index was extended last, by `Time.now()`. */
  readonly #extended = new Map<string, number>();

  /** Owners by conversation. */
  readonly #owners = new Map<string, string>();

  constructor(options: IndexLifeOptions) {
    this.#options = options;
  }

  /** Remembers the owner of a conversation. */
  remember(conversationId: string, owner: string): void {
    if (this.#owners.size >= OWNERS_MAX) this.#owners.clear();
    this.#owners.set(conversationId, owner);
  }

  /** Returns the owner of a conversation, if this replica has used it lately. */
  ownerOf(conversationId: string): string | undefined {
    return this.#owners.get(conversationId);
  }

  /**
   * Remembers the owner of a conversation that is used, and extends the life of the owner's index
   * like that of the conversation, at most once in INDEX_SLACK_MS, by which the index outlives its
   * conversations. No caller waits for it.
   */
  extend(conversationId: string, owner: string): void {
    this.remember(conversationId, owner);
    const { commands, keys, time = systemTime } = this.#options;
    const lifeMs = longestTtl(this.#options) + INDEX_SLACK_MS;
    const now = time.now();
    if (now - (this.#extended.get(owner) ?? -Infinity) < INDEX_SLACK_MS) return;
    if (this.#extended.size >= EXTENDED_MAX) this.#extended.clear();
    this.#extended.set(owner, now);
    commands.call('PEXPIRE', keys.owner(owner), lifeMs).catch(() => this.#extended.delete(owner));
  }
}
