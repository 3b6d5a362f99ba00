/* The life of each owner's index of conversations, which uses of the conversations extend. */

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

/** Most owners whose index is known to have been extended. */
const EXTENDED_MAX = 4_096;

export class IndexLife {
  readonly #options: IndexLifeOptions;
  /** When the life of an owner's index was extended last, by `Time.now()`. */
  readonly #extended = new Map<string, number>();

  constructor(options: IndexLifeOptions) {
    this.#options = options;
  }

  /**
   * Extends the life of an owner's index like that of a conversation that is used, at most once in
   * INDEX_SLACK_MS, by which the index outlives its conversations. No caller waits for it.
   */
  extend(owner: string): void {
    const { commands, keys, time = systemTime } = this.#options;
    const lifeMs = longestTtl(this.#options) + INDEX_SLACK_MS;
    const now = time.now();
    if (now - (this.#extended.get(owner) ?? -Infinity) < INDEX_SLACK_MS) return;
    if (this.#extended.size >= EXTENDED_MAX) this.#extended.clear();
    this.#extended.set(owner, now);
    commands.call('PEXPIRE', keys.owner(owner), lifeMs).catch(() => this.#extended.delete(owner));
  }
}
