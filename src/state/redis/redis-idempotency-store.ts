/* Idempotency keys in Redis: one SET that says who was first. */

import { IdempotencyStore, KEY_TTL_MS, type KeyClaim, type KeyUse } from '../idempotency-store.js';
import { type RedisKeys } from './redis-keys.js';
import { type RedisCommands } from './connection/redis-commands.js';
import { type Scripts } from './scripts.js';

export interface RedisIdempotencyStoreOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
}

export class RedisIdempotencyStore extends IdempotencyStore {
  readonly #options: RedisIdempotencyStoreOptions;

  constructor(options: RedisIdempotencyStoreOptions) {
    super();
    this.#options = options;
  }

  override async claim(use: KeyUse): Promise<KeyClaim> {
    const { commands, keys } = this.#options;
    const key = keys.once(use.owner, use.key);
    const held = await commands.call('SET', key, valueOf(use, false), 'NX', 'GET', 'PX', KEY_TTL_MS);
    if (held === null) return { outcome: 'fresh' };
    // Only `valueOf` writes it.
    const [responseId, fingerprint, begun] = JSON.parse(String(held)) as [string, string, 1?];
    if (fingerprint !== use.fingerprint) return { outcome: 'different' };
    if (responseId === use.responseId) return { outcome: 'fresh' };
    // −2 where it has run out since: then it is as old as it gets.
    const leftMs = Number(await commands.call('PTTL', key));
    return { outcome: 'same', responseId, ageMs: KEY_TTL_MS - Math.max(leftMs, 0), begun: begun === 1 };
  }

  override async confirm(use: KeyUse): Promise<boolean> {
    const { commands, keys, scripts } = this.#options;
    const args = [valueOf(use, false), valueOf(use, true), KEY_TTL_MS];
    return (await commands.run(scripts.get('once-confirm'), [keys.once(use.owner, use.key)], args)) === 1;
  }

  override async release(use: KeyUse): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    await commands.run(scripts.get('once-release'), [keys.once(use.owner, use.key)], [valueOf(use, false)]);
  }
}

function valueOf({ responseId, fingerprint }: KeyUse, begun: boolean): string {
  return JSON.stringify(begun ? [responseId, fingerprint, 1] : [responseId, fingerprint]);
}
