/* Ended responses in Redis: one string each, alive as long as it is read. */

import { type StoredResponse } from '../../domain/response.js';
import { ResponseStore } from '../conversation-store.js';
import { type RedisKeys } from './keys.js';
import { type RedisCommands } from './redis-commands.js';

export interface RedisResponseStoreOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly ttlMs: number;
}

export class RedisResponseStore extends ResponseStore {
  readonly #options: RedisResponseStoreOptions;

  constructor(options: RedisResponseStoreOptions) {
    super();
    this.#options = options;
  }

  override async put(stored: StoredResponse): Promise<void> {
    const { commands, keys, ttlMs } = this.#options;
    await commands.call('SET', keys.response(stored.response.id), JSON.stringify(stored), 'PX', ttlMs);
  }

  override async get(id: string): Promise<StoredResponse | undefined> {
    const { commands, keys, ttlMs } = this.#options;
    const json = await commands.call('GETEX', keys.response(id), 'PX', ttlMs);
    // Only `put` writes it.
    return json === null ? undefined : (JSON.parse(String(json)) as StoredResponse);
  }

  override async delete(id: string): Promise<boolean> {
    const { commands, keys } = this.#options;
    return Number(await commands.call('DEL', keys.response(id))) > 0;
  }
}
