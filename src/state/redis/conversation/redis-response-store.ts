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
import { isSealed, PLACES } from '../encryption/sealed-text.js';
import { type Scopes } from '../encryption/scopes.js';
import { type Vault } from '../encryption/vault.js';
import { isObject, parseStored } from '../stored-json.js';

export interface RedisResponseStoreOptions extends Retention {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly deletedMs: number;
  readonly hooks: RedisHooks;
  readonly vault: Vault;
  readonly scopes: Scopes;
}

/** The end of a response as Redis holds it, for a script that stores it. */
export interface SealedEnd {
  readonly key: string;
  readonly ttlMs: number;
  readonly text: string;
}

export class RedisResponseStore extends ResponseStore {
  readonly #options: RedisResponseStoreOptions;

  constructor(options: RedisResponseStoreOptions) {
    super();
    this.#options = options;
  }

  override async put(stored: StoredResponse): Promise<StoredResponse | undefined> {
    const { key, ttlMs, text } = await this.sealed(stored);
    const earlier = await this.#options.commands.call('SET', key, text, 'NX', 'GET', 'PX', ttlMs);
    return earlier === null ? stored : this.firstOf(stored, String(earlier));
  }

  /** Returns an end in its stored form. @throws like Vault.sealer */
  async sealed(stored: StoredResponse): Promise<SealedEnd> {
    const { keys, vault, scopes } = this.#options;
    const { id } = stored.response;
    const sealer = await vault.sealer(scopes.ofResponse(stored));
    const text = sealer.text(PLACES.response(id), JSON.stringify(stored));
    return { key: keys.response(id), ttlMs: ttlOf(this.#options, stored.limitsClass), text };
  }

  /**
   * Reads the entry that kept an end from being stored.
   * @returns `stored` if an earlier attempt of the same call stored it, another end, or undefined
   * if the response was deleted
   * @throws like Vault.open
   */
  async firstOf(stored: StoredResponse, entry: string): Promise<StoredResponse | undefined> {
    const json = await this.#options.vault.open(PLACES.response(stored.response.id), entry);
    return json === JSON.stringify(stored) ? stored : this.#parsed(json);
  }

  override async get(id: string): Promise<StoredResponse | undefined> {
    if (this.#options.ttlOfClass !== undefined) return this.#getOfClass(id);
    const { commands, keys, ttlMs, deletedMs } = this.#options;
    const text = await commands.call('GETEX', keys.response(id), 'PX', ttlMs);
    if (text === null) return undefined;
    const stored = await this.#read(id, text);
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
    const text = await commands.call('GET', keys.response(id));
    const stored = text === null ? undefined : await this.#read(id, text);
    if (stored === undefined) return undefined;
    // The response may be deleted between the two commands. A class with a short time would then
    // shorten the life of the mark, and a late writer could store the response again. GT never
    // shortens a life.
    await commands.call('PEXPIRE', keys.response(id), ttlOf(this.#options, stored.limitsClass), 'GT');
    return stored;
  }

  /** Checks one key: the mark of a deletion is stored under the key of its response. */
  override async hasEnded(id: string): Promise<boolean> {
    const { commands, keys } = this.#options;
    return (await commands.call('EXISTS', keys.response(id))) === 1;
  }

  override async delete(id: string): Promise<boolean> {
    const { commands, keys, deletedMs, vault } = this.#options;
    const earlier = await commands.call('SET', keys.response(id), deletionOf(id), 'GET', 'PX', deletedMs);
    await vault.erase(id);
    // Marks are not encrypted. An encrypted response can be deleted without its key.
    return earlier !== null && (isSealed(String(earlier)) || (await this.#read(id, earlier)) !== undefined);
  }

  /**
   * Decrypts and parses an entry.
   * @returns undefined if it is unreadable, erased, or the mark of a deletion
   */
  async #read(id: string, text: unknown): Promise<StoredResponse | undefined> {
    return this.#parsed(await this.#options.vault.open(PLACES.response(id), String(text)));
  }

  #parsed(json: string | undefined): StoredResponse | undefined {
    if (json === undefined) return undefined;
    const stored = parseStored(json, 'response', this.#options.hooks, isStored);
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
