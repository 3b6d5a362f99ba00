/*
 * The master keys of a deployment, which encrypt data keys and nothing else. A data key names the
 * master key that it was encrypted with, so that several can be in use while one replaces another.
 */

import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { type EncryptionOptions } from '../redis-options.js';
import { decrypt, encrypt, PLACES } from './sealed-text.js';

export const KEY_BYTES = 32;
const FORMAT = 'k1';

/** The master key of a data key is not configured. */
export class UnknownMasterKey extends Error {
  constructor(readonly keyId: string) {
    super(`unable to decrypt a data key; its master key ${keyId} is not configured`);
  }
}

export class MasterKeys {
  /** Public name of the current key: the start of a digest of it. */
  readonly currentId: string;
  readonly #keys = new Map<string, KeyObject>();
  readonly #previousIds: ReadonlySet<string>;

  /** @param options keys of 32 bytes each */
  constructor({ key, nextKey, previousKeys = [] }: Omit<EncryptionOptions, 'write'>) {
    this.currentId = masterKeyId(key);
    const further = nextKey === undefined ? previousKeys : [nextKey, ...previousKeys];
    for (const one of [key, ...further]) this.#keys.set(masterKeyId(one), createSecretKey(one));
    this.#previousIds = new Set(previousKeys.map(masterKeyId).filter((id) => id !== this.currentId));
  }

  /** Encrypts a data key with the current master key. */
  wrap(scope: string, dataKey: Buffer): string {
    return `${FORMAT}:${this.currentId}:${encrypt(this.#key(this.currentId), PLACES.dataKey(scope), dataKey)}`;
  }

  /** @throws UnknownMasterKey; Error if the wrapped key was altered or belongs to another scope */
  unwrap(scope: string, wrapped: string): Buffer {
    const [format, keyId = '', content = ''] = wrapped.split(':');
    if (format !== FORMAT) throw new Error('unable to decrypt a data key; its form is unknown');
    const key = decrypt(this.#key(keyId), PLACES.dataKey(scope), content);
    if (key.length !== KEY_BYTES) throw new Error('unable to decrypt a data key; its length is wrong');
    return key;
  }

  /**
   * Whether a data key is encrypted with a previous master key. One that the next master key
   * encrypts is left as it is: replicas that have not been restarted yet would undo the rotation.
   */
  isOutdated(wrapped: string): boolean {
    return this.#previousIds.has(wrapped.split(':')[1] ?? '');
  }

  #key(keyId: string): KeyObject {
    const key = this.#keys.get(keyId);
    if (key === undefined) throw new UnknownMasterKey(keyId);
    return key;
  }
}

/** Returns the public name of a master key, which reveals nothing of it. */
export function masterKeyId(key: Buffer): string {
  return createHash('sha256').update('sluice master key\n').update(key).digest('hex').slice(0, 12);
}
