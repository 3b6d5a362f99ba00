/* The newest responses of each user in Redis: one sorted set for each, by the time of listing. */

import { systemTime, type Time } from '../../domain/time.js';
import { LISTED_MAX, LISTED_MS, OwnerIndex } from '../owner-index.js';
import { type RedisCommands } from './connection/redis-commands.js';
import { type RedisKeys } from './redis-keys.js';

export interface RedisOwnerIndexOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly time?: Time;
  /** How long a list is stored after its last entry, in milliseconds. */
  readonly listedMs?: number;
}

export class RedisOwnerIndex extends OwnerIndex {
  readonly #commands: RedisCommands;
  readonly #keys: RedisKeys;
  readonly #time: Time;
  readonly #listedMs: number;

  constructor({ commands, keys, time = systemTime, listedMs = LISTED_MS }: RedisOwnerIndexOptions) {
    super();
    this.#commands = commands;
    this.#keys = keys;
    this.#time = time;
    this.#listedMs = listedMs;
  }

  override async add(owner: string, responseId: string): Promise<void> {
    const key = this.#keys.responsesOf(owner);
    // One round trip: the client pipelines commands of one tick.
    await Promise.all([
      this.#commands.call('ZADD', key, this.#time.date(), responseId),
      this.#commands.call('ZREMRANGEBYRANK', key, 0, -(LISTED_MAX + 1)),
      this.#commands.call('PEXPIRE', key, this.#listedMs),
    ]);
  }

  override async responsesOf(owner: string): Promise<readonly string[]> {
    const reply = await this.#commands.call('ZRANGE', this.#keys.responsesOf(owner), 0, -1);
    return Array.isArray(reply) ? reply.map(String) : [];
  }

  override async remove(owner: string, responseIds: readonly string[]): Promise<void> {
    if (responseIds.length > 0) await this.#commands.call('ZREM', this.#keys.responsesOf(owner), ...responseIds);
  }
}
