/*
 * What the stores encrypt and decrypt with. Without a key it passes text through, and refuses
 * encrypted text. Text that was stored before encryption was switched on is read as it is.
 */

import { type KeyObject } from 'node:crypto';
import { LogOnlyCause, SluiceError } from '../../../domain/errors.js';
import { type DecryptFailure, type RedisHooks } from '../redis-options.js';
import { type DataKeys, ERASED, type KeyLife, MissingDataKey } from './data-keys.js';
import { UnknownMasterKey } from './master-keys.js';
import { decrypt, isSealed, seal, sealedText } from './sealed-text.js';

/**
 * Encrypts text or bytes for one scope.
 * @param place where the text is stored, of PLACES
 */
export interface Sealer {
  text(place: string, plain: string): string;
  /** For bytes that are stored as text: base64 if nothing is encrypted. */
  bytes(place: string, plain: Buffer): string;
}

const PLAIN: Sealer = {
  text: (_place, plain) => plain,
  bytes: (_place, plain) => plain.toString('base64'),
};

/** What a data key is for. */
export interface DataKeyScope {
  /** Id of the conversation, response or secret. */
  readonly name: string;
  /** Of a new data key. */
  readonly life: KeyLife;
}

export interface VaultOptions {
  /** Absent: the configuration has no key. */
  readonly dataKeys?: DataKeys;
  /** Whether new values are encrypted. */
  readonly write?: boolean;
  readonly hooks: RedisHooks;
}

export class Vault {
  readonly #dataKeys: DataKeys | undefined;
  readonly #writeKeys: DataKeys | undefined;
  readonly #hooks: RedisHooks;

  constructor({ dataKeys, write = true, hooks }: VaultOptions) {
    this.#dataKeys = dataKeys;
    this.#writeKeys = write ? dataKeys : undefined;
    this.#hooks = hooks;
  }

  /** Whether new values are encrypted. */
  get writes(): boolean {
    return this.#writeKeys !== undefined;
  }

  /** Returns a sealer at once if its data key is in memory. */
  heldSealer(scope: string): Sealer | undefined {
    if (this.#writeKeys === undefined) return PLAIN;
    const key = this.#writeKeys.held(scope);
    return key === undefined ? undefined : sealerOf(scope, key);
  }

  /**
   * Returns a sealer, whose data key is created if there is none.
   * @throws SluiceError `state_unavailable`, `server_error`
   */
  async sealer({ name, life }: DataKeyScope): Promise<Sealer> {
    if (this.#writeKeys === undefined) return PLAIN;
    try {
      return sealerOf(name, await this.#writeKeys.write(name, life));
    } catch (error) {
      throw this.#refused(error);
    }
  }

  /**
   * Returns a sealer with the data key of a stored value; of one that is not encrypted, one that
   * does not encrypt.
   * @returns undefined if the data key was erased
   * @throws like `open`
   */
  async sealerOf(text: string): Promise<Sealer | undefined> {
    if (!isSealed(text)) return PLAIN;
    const { scope } = sealedText(text);
    const key = await this.#readKey(scope);
    return key === ERASED ? undefined : sealerOf(scope, key);
  }

  /**
   * Decrypts a value at once.
   * @returns undefined if its data key is not in memory, or it is refused
   */
  openHeld(place: string, text: string): string | undefined {
    if (!isSealed(text)) return text;
    const { scope, content } = sealedText(text);
    const key = this.#dataKeys?.held(scope);
    if (key === undefined) return undefined;
    try {
      return decrypt(key, place, content).toString('utf8');
    } catch {
      return undefined;
    }
  }

  /**
   * Decrypts a value.
   * @returns undefined if its data key was erased
   * @throws SluiceError `server_error` if it was altered, or a key is missing; `state_unavailable`
   */
  async open(place: string, text: string): Promise<string | undefined> {
    return this.openHeld(place, text) ?? (await this.#open(place, text))?.toString('utf8');
  }

  /** Like `open`, for what `Sealer.bytes` returned. */
  async openBytes(place: string, text: string): Promise<Buffer | undefined> {
    return isSealed(text) ? this.#open(place, text) : Buffer.from(text, 'base64');
  }

  /** Erases a data key, so that what it encrypted cannot be read any more, in copies either. */
  async erase(scope: string): Promise<void> {
    await this.#dataKeys?.erase(scope);
  }

  /** Lets a data key expire with what it encrypts. */
  async shorten(scope: string, lifeMs: number): Promise<void> {
    await this.#writeKeys?.shorten(scope, lifeMs);
  }

  async #open(place: string, text: string): Promise<Buffer | undefined> {
    const { scope, content } = sealedText(text);
    const key = await this.#readKey(scope);
    if (key === ERASED) return undefined;
    try {
      return decrypt(key, place, content);
    } catch (error) {
      throw this.#refused(error);
    }
  }

  async #readKey(scope: string): Promise<KeyObject | typeof ERASED> {
    try {
      if (this.#dataKeys === undefined) throw new NoEncryption();
      return await this.#dataKeys.read(scope);
    } catch (error) {
      throw this.#refused(error);
    }
  }

  /** Reports a value that cannot be decrypted. */
  #refused(error: unknown): unknown {
    if (error instanceof SluiceError) return error;
    const [reason, message] = meaningOf(error);
    this.#hooks.onNotDecrypted?.(reason, message);
    return new SluiceError(
      'server_error',
      'unable to use stored data; it cannot be decrypted; the operator must check the keys of `state.encryption`',
      { retryable: false, cause: new LogOnlyCause(message) },
    );
  }
}

class NoEncryption extends Error {}

function meaningOf(error: unknown): readonly [DecryptFailure, string] {
  if (error instanceof NoEncryption) {
    return ['no_encryption', 'a value is encrypted, and the configuration has no state.encryption'];
  }
  if (error instanceof UnknownMasterKey) {
    return ['unknown_master_key', `the master key ${error.keyId} of a data key is not configured`];
  }
  if (error instanceof MissingDataKey) return ['no_data_key', error.message];
  return ['altered', 'a value or its data key was altered, moved or damaged'];
}

function sealerOf(scope: string, key: KeyObject): Sealer {
  const sealed = (place: string, plain: string | Buffer): string => seal(key, scope, place, plain);
  return { text: sealed, bytes: sealed };
}
