/*
 * Data keys: one for each conversation, and for each response and secret outside of one. Redis
 * holds them encrypted with a master key, apart from what they encrypt. A replica holds those that
 * it uses in memory, within bounds of number and time, and checks each again once a minute.
 *
 * A check stores a key that Redis has lost (a failover to a Redis replica that was behind), because
 * what it encrypted would be unreadable. An erased key leaves a mark, which distinguishes the two.
 */

import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { systemTime, type Time } from '../../../domain/time.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type RedisKeys } from '../redis-keys.js';
import { KEY_SLACK_MS, type Scripts } from '../scripts.js';
import { KEY_BYTES, type MasterKeys } from './master-keys.js';

export interface DataKeysOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly masterKeys: MasterKeys;
  /** Whether data keys that a previous master key encrypts are encrypted with the current one. */
  readonly rewrap: boolean;
  readonly time?: Time;
}

/**
 * How long Redis holds a data key after its last use: milliseconds, or `stored`, as long as the
 * configuration stores conversations and responses. A changed configuration applies at the next
 * use, as it does to them.
 */
export type KeyLife = number | 'stored';

/** A data key was erased with what it encrypted. */
export const ERASED = Symbol('erased');

/** Redis has no such data key, and no mark of an erasure. */
export class MissingDataKey extends Error {
  constructor(scope: string) {
    super(`unable to decrypt; the state store has no data key of ${scope}`);
  }
}

interface HeldKey {
  readonly key: KeyObject;
  /** As Redis holds it. */
  wrapped: string;
  readonly life: string;
  /** From this time on, a use checks the key in Redis, beside the use. */
  checkAt: number;
  /** From this time on, the key is read again before it is used. */
  dropAt: number;
}

/** Most data keys in memory. The one that was checked first is dropped. */
const HELD_MAX = 10_000;
const CHECK_EVERY_MS = 60_000;
/** How long an unchecked key is used while Redis does not answer. */
const UNCHECKED_MS = KEY_SLACK_MS / 2;
/**
 * How long a replica uses an erased key. A turn that an erasure cancels still writes its end, and
 * its viewers read it.
 */
const ERASED_USE_MS = 30_000;
/** How long the mark of an erased key is stored: longer than a replica holds the key. */
const ERASED_MARK_MS = 60 * 60_000;

export class DataKeys {
  readonly #options: DataKeysOptions;
  readonly #time: Time;
  /** By scope, in the order of their last check. */
  readonly #held = new Map<string, HeldKey>();
  readonly #loading = new Map<string, Promise<KeyObject | typeof ERASED>>();

  constructor(options: DataKeysOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /** Number of keys in memory. */
  get size(): number {
    return this.#held.size;
  }

  /** Returns a key that is in memory. */
  held(scope: string): KeyObject | undefined {
    const held = this.#held.get(scope);
    if (held === undefined) return undefined;
    const now = this.#time.now();
    if (now >= held.dropAt) {
      this.#held.delete(scope);
      return undefined;
    }
    if (now >= held.checkAt) this.#check(scope, held);
    return held.key;
  }

  /**
   * Returns a key for reading, or ERASED.
   * @throws SluiceError `state_unavailable`; MissingDataKey; errors of MasterKeys
   */
  async read(scope: string): Promise<KeyObject | typeof ERASED> {
    return this.held(scope) ?? this.#once(`r${scope}`, () => this.#load(scope, undefined));
  }

  /**
   * Returns a key for writing, and creates it if there is none. An erased key is replaced in memory
   * only: what it encrypts is never read.
   * @param life of a new key
   * @throws like `read`
   */
  async write(scope: string, life: KeyLife): Promise<KeyObject> {
    const key = this.held(scope) ?? (await this.#once(`w${scope}`, () => this.#load(scope, life)));
    return key === ERASED ? createSecretKey(randomBytes(KEY_BYTES)) : key;
  }

  /** Erases a key on all replicas, in memory within a minute and a half. Safe to repeat. */
  async erase(scope: string): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    await commands.run(scripts.get('data-key-erase'), [keys.dataKey(scope)], [ERASED_MARK_MS]);
    const held = this.#held.get(scope);
    if (held !== undefined) this.#leaveErased(held);
  }

  /** Shortens the life of a key to that of what it encrypts. */
  async shorten(scope: string, lifeMs: number): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    await commands.run(scripts.get('data-key-shorten'), [keys.dataKey(scope)], [lifeMs]);
    this.#held.delete(scope);
  }

  /** Lets the next use of every key check it: Redis may have lost its newest writes. */
  recheck(): void {
    for (const held of this.#held.values()) held.checkAt = 0;
  }

  /** Shares one load among concurrent callers. */
  #once(name: string, load: () => Promise<KeyObject | typeof ERASED>): Promise<KeyObject | typeof ERASED> {
    const loading = this.#loading.get(name);
    if (loading !== undefined) return loading;
    const started = load().finally(() => this.#loading.delete(name));
    this.#loading.set(name, started);
    return started;
  }

  async #load(scope: string, createFor: KeyLife | undefined): Promise<KeyObject | typeof ERASED> {
    const { masterKeys } = this.#options;
    const candidate = createFor === undefined ? '' : masterKeys.wrap(scope, randomBytes(KEY_BYTES));
    const found = await this.#fetch(scope, candidate, createFor ?? 0);
    if (found === ERASED) return ERASED;
    if (found === undefined) throw new MissingDataKey(scope);
    const key = createSecretKey(masterKeys.unwrap(scope, found.wrapped));
    const held = { key, ...found, checkAt: 0, dropAt: 0 };
    this.#hold(scope, held);
    await this.#rewrap(scope, held);
    return key;
  }

  async #fetch(
    scope: string,
    candidate: string,
    candidateLife: KeyLife | string,
  ): Promise<{ readonly wrapped: string; readonly life: string } | typeof ERASED | undefined> {
    const { commands, keys, scripts } = this.#options;
    const reply = await commands.run(scripts.get('data-key'), [keys.dataKey(scope)], [candidate, candidateLife]);
    if (reply === '') return ERASED;
    if (!Array.isArray(reply)) return undefined;
    return { wrapped: String(reply[0]), life: String(reply[1]) };
  }

  /** Checks a key in Redis without delaying its use. */
  #check(scope: string, held: HeldKey): void {
    held.checkAt = this.#time.now() + CHECK_EVERY_MS;
    this.#fetch(scope, held.wrapped, held.life)
      .then(async (found) => {
        if (found === ERASED) return this.#leaveErased(held);
        if (found === undefined) return;
        // Another replica encrypted it with another master key, or stored a new key after a loss:
        // the next use reads it.
        if (found.wrapped !== held.wrapped) {
          if (this.#held.get(scope) === held) this.#held.delete(scope);
          return;
        }
        this.#hold(scope, held);
        await this.#rewrap(scope, held);
      })
      // Redis does not answer: the key is used until `dropAt`, and the next check may succeed.
      .catch(() => undefined);
  }

  #hold(scope: string, held: HeldKey): void {
    const now = this.#time.now();
    held.checkAt = now + CHECK_EVERY_MS;
    held.dropAt = now + UNCHECKED_MS;
    this.#held.delete(scope);
    this.#held.set(scope, held);
    if (this.#held.size > HELD_MAX) this.#held.delete(this.#held.keys().next().value ?? '');
  }

  #leaveErased(held: HeldKey): void {
    held.checkAt = Number.POSITIVE_INFINITY;
    held.dropAt = Math.min(held.dropAt, this.#time.now() + ERASED_USE_MS);
  }

  /** Encrypts a data key with the current master key. The data key itself stays the same. */
  async #rewrap(scope: string, held: HeldKey): Promise<void> {
    const { commands, keys, scripts, masterKeys, rewrap } = this.#options;
    if (!rewrap || !masterKeys.isOutdated(held.wrapped)) return;
    const wrapped = masterKeys.wrap(scope, masterKeys.unwrap(scope, held.wrapped));
    // Another replica may have replaced it, or the key may have been erased, since it was read. The
    // script replaces only what was read.
    const args = [held.wrapped, wrapped];
    const replaced = await commands.run(scripts.get('data-key-replace'), [keys.dataKey(scope)], args);
    if (replaced === 1) held.wrapped = wrapped;
  }
}
