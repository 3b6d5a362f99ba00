/*
 * Ended responses in Redis: one string each, alive as long as it is read. The first end of a response is the one that is stored; a deleted response
 * leaves a mark in its place for a while.
 */

import { type StoredResponse } from '../../domain/response.js';
import { ResponseStore } from '../conversation-store.js';
import { type RedisKeys } from './keys.js';
import { type RedisCommands } from './redis-commands.js';

export interface RedisResponseStoreOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly ttlMs: number;
  readonly deletedMs: number;
}

export class RedisResponseStore extends ResponseStore {
  readonly #options: RedisResponseStoreOptions;

  constructor(options: RedisResponseStoreOptions) {
    super();
    this.#options = options;
  }

  override async put(stored: StoredResponse): Promise<StoredResponse | undefined> {
    const { commands, keys, ttlMs } = this.#options;
    const json = JSON.stringify(stored);
    const earlier = await commands.call('SET', keys.response(stored.response.id), json, 'NX', 'GET', 'PX', ttlMs);
    // The same text is this call's own: an earlier try was done, and its reply was lost.
    return earlier === null || earlier === json ? stored : parsed(earlier);
  }

  override async get(id: string): Promise<StoredResponse | undefined> {
    const { commands, keys, ttlMs, deletedMs } = this.#options;
    const json = await commands.call('GETEX', keys.response(id), 'PX', ttlMs);
    if (json === null) return undefined;
    const stored = parsed(json);
    // GETEX has given the mark of a deletion the life of a response.
    if (stored === undefined) await commands.call('PEXPIRE', keys.response(id), deletedMs);
    return stored;
  }

  override async delete(id: string): Promise<boolean> {
    const { commands, keys, deletedMs } = this.#options;
    const earlier = await commands.call('SET', keys.response(id), deletionOf(id), 'GET', 'PX', deletedMs);
    return earlier !== null && parsed(earlier) !== undefined;
  }
}

/** Only `put` and `delete` write it. @returns undefined if it is the mark of a deletion */
function parsed(json: unknown): StoredResponse | undefined {
  const stored = JSON.parse(String(json)) as StoredResponse & { readonly deleted?: true };
  return stored.deleted === true ? undefined : stored;
}

/** The mark of a deletion. Replicas of 1.0 read it as a response of an owner that no caller reaches: not found. */
function deletionOf(id: string): string {
  return JSON.stringify({ owner: '', response: { id }, input: [], context: [], terminalSequence: 0, deleted: true });
}
