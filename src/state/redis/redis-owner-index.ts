/* The newest responses of each user in Redis: one sorted set for each, by the time of listing. */

import { systemTime, type Time } from '../../domain/time.js';
import { LISTED_MAX, LISTED_MS, OwnerIndex } from '../owner-index.js';
import { type RedisCommands } from './connection/redis-commands.js';
import { type RedisKeys } from './redis-keys.js';
import { type Scripts } from './scripts.js';

export interface RedisOwnerIndexOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly time?: Time;
  /** How long a list is stored after its last entry, in milliseconds. */
  readonly listedMs?: number;
}

export class RedisOwnerIndex extends OwnerIndex {
  readonly #commands: RedisCommands;
  readonly #keys: RedisKeys;
  readonly #scripts: Scripts;
  readonly #time: Time;
  readonly #listedMs: number;

  constructor({ commands, keys, scripts, time = systemTime, listedMs = LISTED_MS }: RedisOwnerIndexOptions) {
    super();
    this.#commands = commands;
    this.#keys = keys;
    this.#scripts = scripts;
    this.#time = time;
    this.#listedMs = listedMs;
  }

  override async add(owner: string, responseId: string): Promise<void> {
    const args = [responseId, this.#time.date(), LISTED_MAX, this.#listedMs];
    await this.#commands.run(this.#scripts.get('listed'), [this.#keys.responsesOf(owner)], args);
  }

  override async responsesOf(owner: string): Promise<readonly string[]> {
    const reply = await this.#commands.call('ZRANGE', this.#keys.responsesOf(owner), 0, -1);
    return Array.isArray(reply) ? reply.map(String) : [];
  }

  override async remove(owner: string, responseIds: readonly string[]): Promise<void> {
    if (responseIds.length > 0) await this.#commands.call('ZREM', this.#keys.responsesOf(owner), ...responseIds);
  }
}
