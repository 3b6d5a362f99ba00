/*
 * Encrypts the summaries of compacted context, so that only this deployment can read them, and only
 * for the owner that they were made for. AES-256-GCM, with a key that is derived from the
 * configured secret.
 */

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { SluiceError } from '../domain/errors.js';
import { type CompactionItem, type Item, type StoredItem } from '../domain/item.js';

/** Prefix of the content, so that a later version can use another format. */
const FORMAT = 'sc1.';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export class SummarySeal {
  readonly #key: Buffer | undefined;

  /** @param secret the secret that all replicas share. Null: there are no summaries */
  constructor(secret: string | null) {
    this.#key =
      secret === null ? undefined : Buffer.from(hkdfSync('sha256', secret, '', 'sluice summary seal 1', KEY_BYTES));
  }

  /** Whether summaries can be made and read. */
  get enabled(): boolean {
    return this.#key !== undefined;
  }

  /** @throws SluiceError `unsupported_parameter` if the configuration has no key */
  refuseWithoutKey(param: string): void {
    if (this.#key !== undefined) return;
    throw new SluiceError(
      'unsupported_parameter',
      'unable to compact; the configuration has no `compaction.key_env`; the operator must set a key',
      { param },
    );
  }

  /** Encrypts a summary for an owner. @returns text for `encrypted_content` */
  seal(owner: string, summary: string): string {
    if (this.#key === undefined) throw new Error('unable to encrypt a summary; there is no key');
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(owner));
    const content = Buffer.concat([cipher.update(summary, 'utf8'), cipher.final()]);
    return FORMAT + Buffer.concat([nonce, cipher.getAuthTag(), content]).toString('base64url');
  }

  /**
   * Decrypts a summary.
   * @returns undefined if it was altered, or made by another deployment or for another owner
   */
  open(owner: string, content: string): string | undefined {
    if (this.#key === undefined || !content.startsWith(FORMAT)) return undefined;
    const bytes = Buffer.from(content.slice(FORMAT.length), 'base64url');
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
    const text = bytes.subarray(NONCE_BYTES + TAG_BYTES);
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(Buffer.from(owner)).setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      return decipher.update(text, undefined, 'utf8') + decipher.final('utf8');
    } catch {
      return undefined;
    }
  }

  /**
   * Refuses summaries that cannot be read.
   * @param places the place of each item in the request
   * @throws SluiceError `invalid_value`, or `unsupported_content` without a key
   */
  refuseUnreadable(owner: string, items: readonly Item[], places: readonly number[]): void {
    items.forEach((item, i) => {
      if (item.type !== 'compaction' || this.open(owner, item.encrypted_content) !== undefined) return;
      const param = `input[${places[i] ?? i}].encrypted_content`;
      if (!this.enabled) {
        throw new SluiceError(
          'unsupported_content',
          'unable to read a compaction item; the configuration has no `compaction.key_env`; send the items themselves',
          { param },
        );
      }
      throw new SluiceError(
        'invalid_value',
        'unable to read a compaction item; it was altered, or is of another deployment or owner; send the items themselves',
        { param },
      );
    });
  }

  /**
   * Leaves out the summaries of a history whose key is gone, so that the items that they replaced
   * are sent again.
   */
  readable(owner: string, history: readonly StoredItem[]): readonly StoredItem[] {
    return history.filter(
      ({ item }) =>
        item.type !== 'compaction' ||
        item.sluice?.replaces === undefined ||
        this.open(owner, item.encrypted_content) !== undefined,
    );
  }

  /**
   * Returns a summary as the message that a provider receives. If the key has changed, the message
   * says that the summary is missing. It is a message of the user, because its text comes from a
   * dialogue and must not instruct.
   */
  messageOf(owner: string, item: CompactionItem): Item {
    const summary = this.open(owner, item.encrypted_content) ?? '(It cannot be read any more.)';
    const text = `Summary of the conversation so far:\n\n${summary}`;
    return {
      type: 'message',
      id: item.id,
      role: 'user',
      status: 'completed',
      content: [{ type: 'input_text', text }],
    };
  }
}
