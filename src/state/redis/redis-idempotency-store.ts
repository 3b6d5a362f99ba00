/* Idempotency keys in Redis: one SET NX per claim decides which use was first. */

import { IdempotencyStore, KEY_TTL_MS, type KeyClaim, type KeyUse } from '../idempotency-store.js';
import { type RedisKeys } from './redis-keys.js';
import { type RedisHooks } from './redis-options.js';
import { type RedisCommands } from './connection/redis-commands.js';
import { type Scripts } from './scripts.js';
import { parseStored } from './stored-json.js';

export interface RedisIdempotencyStoreOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly hooks: RedisHooks;
}

export class RedisIdempotencyStore extends IdempotencyStore {
  readonly #options: RedisIdempotencyStoreOptions;

  constructor(options: RedisIdempotencyStoreOptions) {
    super();
    this.#options = options;
  }

  override async claim(use: KeyUse): Promise<KeyClaim> {
    const { commands, keys, scripts, hooks } = this.#options;
    const key = keys.once(use.owner, use.key);
    // List the key before it exists, so that the data of its user can be erased. Server keys have
    // no list.
    if (use.owner.includes('/')) {
      const list = keys.onceOf(use.owner);
      await Promise.all([commands.call('SADD', list, key), commands.call('PEXPIRE', list, KEY_TTL_MS)]);
    }
    const held = await commands.call('SET', key, valueOf(use, false), 'NX', 'GET', 'PX', KEY_TTL_MS);
    if (held === null) return { outcome: 'fresh' };
    const value = parseStored(String(held), 'idempotency_key', hooks, isValue);
    if (value === undefined) {
      // Another use may replace the unreadable value between the read and this command. Deleting by
      // key alone would release the key of that use; the script deletes only the value that was
      // read. One of the uses is fresh then.
      await commands.run(scripts.get('once-release'), [key], [String(held)]);
      return this.claim(use);
    }
    const [responseId, fingerprint, begun] = value;
    if (fingerprint !== use.fingerprint) return { outcome: 'different' };
    if (responseId === use.responseId) return { outcome: 'fresh' };
    // PTTL is −2 if the key expired meanwhile; count it as fully aged.
    const leftMs = Number(await commands.call('PTTL', key));
    return { outcome: 'same', responseId, ageMs: KEY_TTL_MS - Math.max(leftMs, 0), begun: begun === 1 };
  }

  override async confirm(use: KeyUse): Promise<boolean> {
    const { commands, keys, scripts } = this.#options;
    const args = [valueOf(use, false), valueOf(use, true), KEY_TTL_MS];
    return (await commands.run(scripts.get('once-confirm'), [keys.once(use.owner, use.key)], args)) === 1;
  }

  override async eraseOwner(owner: string): Promise<void> {
    const { commands, keys } = this.#options;
    const listed = await commands.call('SMEMBERS', keys.onceOf(owner));
    for (const key of Array.isArray(listed) ? listed.map(String) : []) await commands.call('DEL', key);
    await commands.call('DEL', keys.onceOf(owner));
  }

  override async release(use: KeyUse): Promise<void> {
    await this.#deleteIf(use, [valueOf(use, false)]);
  }

  override async withdraw(use: KeyUse): Promise<void> {
    await this.#deleteIf(use, [valueOf(use, false), valueOf(use, true)]);
  }

  /** Deletes the key if it holds one of these values. */
  async #deleteIf(use: KeyUse, values: readonly string[]): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    await commands.run(scripts.get('once-release'), [keys.once(use.owner, use.key)], values);
  }
}

/** What a key holds: response, fingerprint, and 1 if the response is confirmed. */
type Value = readonly [responseId: string, fingerprint: string, begun?: 1];

function isValue(value: unknown): value is Value {
  return Array.isArray(value) && typeof value[0] === 'string' && typeof value[1] === 'string';
}

function valueOf({ responseId, fingerprint }: KeyUse, begun: boolean): string {
  return JSON.stringify(begun ? [responseId, fingerprint, 1] : [responseId, fingerprint]);
}
