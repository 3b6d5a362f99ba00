/*
 * Ended responses in Redis: one string for each, whose life every read extends. The first end of a
 * response is stored. A deleted response is replaced by a mark that expires.
 */

import { type StoredResponse } from '../../../domain/response.js';
import { ResponseStore } from '../../conversation-store.js';
import { type Retention, ttlOf } from '../../retention.js';
import { type RedisKeys } from '../redis-keys.js';
import { type RedisHooks } from '../redis-options.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { isObject, parseStored } from '../stored-json.js';

export interface RedisResponseStoreOptions extends Retention {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly deletedMs: number;
  readonly hooks: RedisHooks;
}

export class RedisResponseStore extends ResponseStore {
  readonly #options: RedisResponseStoreOptions;

  constructor(options: RedisResponseStoreOptions) {
    super();
    this.#options = options;
  }

  override async put(stored: StoredResponse): Promise<StoredResponse | undefined> {
    const { commands, keys } = this.#options;
    const ttlMs = ttlOf(this.#options, stored.limitsClass);
    const json = JSON.stringify(stored);
    const earlier = await commands.call('SET', keys.response(stored.response.id), json, 'NX', 'GET', 'PX', ttlMs);
    // The same text: an earlier try of this call stored it, and its reply was lost.
    return earlier === null || earlier === json ? stored : this.#read(earlier);
  }

  override async get(id: string): Promise<StoredResponse | undefined> {
    if (this.#options.ttlOfClass !== undefined) return this.#getOfClass(id);
    const { commands, keys, ttlMs, deletedMs } = this.#options;
    const json = await commands.call('GETEX', keys.response(id), 'PX', ttlMs);
    if (json === null) return undefined;
    const stored = this.#read(json);
    // GETEX extended the life of a deletion mark to that of a response: set it back.
    if (stored === undefined) await commands.call('PEXPIRE', keys.response(id), deletedMs);
    return stored;
  }

  /**
   * Reads a response, then extends its life to the time of its class. In one command the life of a
   * class with a short time would be extended to that of another.
   */
  async #getOfClass(id: string): Promise<StoredResponse | undefined> {
    const { commands, keys } = this.#options;
    const json = await commands.call('GET', keys.response(id));
    const stored = json === null ? undefined : this.#read(json);
    if (stored === undefined) return undefined;
    await commands.call('PEXPIRE', keys.response(id), ttlOf(this.#options, stored.limitsClass));
    return stored;
  }

  /** Checks one key: the mark of a deletion is stored under the key of its response. */
  override async hasEnded(id: string): Promise<boolean> {
    const { commands, keys } = this.#options;
    return (await commands.call('EXISTS', keys.response(id))) === 1;
  }

  override async delete(id: string): Promise<boolean> {
    const { commands, keys, deletedMs } = this.#options;
    const earlier = await commands.call('SET', keys.response(id), deletionOf(id), 'GET', 'PX', deletedMs);
    return earlier !== null && this.#read(earlier) !== undefined;
  }

  /** Parses an entry. @returns undefined if it is unreadable or the mark of a deletion */
  #read(json: unknown): StoredResponse | undefined {
    const stored = parseStored(String(json), 'response', this.#options.hooks, isStored);
    return stored?.deleted === true ? undefined : stored;
  }
}

function isStored(value: unknown): value is StoredResponse & { readonly deleted?: true } {
  return isObject(value);
}

/**
 * Returns the mark of a deletion. Replicas of 1.0 read it as a response of an owner that no caller
 * has: not found.
 */
function deletionOf(id: string): string {
  return JSON.stringify({ owner: '', response: { id }, input: [], context: [], terminalSequence: 0, deleted: true });
}
