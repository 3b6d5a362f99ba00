/*
 * The form of an encrypted value: a mark, the name of its data key, and AES-256-GCM over its text,
 * bound to the place where it is stored. Knows no Redis and no key.
 */

import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';

/** Start of an encrypted value. No JSON starts with it. A later format has another number. */
const MARK = '\u0001e1:';
const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * The place of each value, as associated data: what it is, the id of its object, and its number. A
 * value that was moved to another place does not decrypt.
 */
export const PLACES = {
  event: (responseId: string, sequence: number): string => `event\n${responseId}\n${sequence}`,
  /** Number `n` of a packed log. */
  block: (responseId: string, n: number): string => `block\n${responseId}\n${n}`,
  logHead: (responseId: string): string => `log head\n${responseId}`,
  item: (conversationId: string, itemId: string): string => `item\n${conversationId}\n${itemId}`,
  metadata: (conversationId: string): string => `metadata\n${conversationId}`,
  title: (conversationId: string): string => `title\n${conversationId}`,
  response: (responseId: string): string => `response\n${responseId}`,
  secret: (id: string): string => `secret\n${id}`,
  dataKey: (scope: string): string => `data key\n${scope}`,
} as const;

export interface SealedText {
  /** Name of the data key: the conversation, response or secret that it belongs to. */
  readonly scope: string;
  readonly content: string;
}

/**
 * Random numbers for nonces, drawn together: one call for each would cost as much as the cipher.
 */
const pool = Buffer.alloc(NONCE_BYTES * 256);
let used = pool.length;

/**
 * Returns a nonce. Replicas encrypt with the same key and share no counter, so it is random: the
 * chance of a repeat stays below 2^-32 for 2^32 values under one key.
 */
function nonce(): Buffer {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += NONCE_BYTES;
  return pool.subarray(used - NONCE_BYTES, used);
}

/** Encrypts bytes or text. @returns base64 of nonce, encrypted bytes and tag */
export function encrypt(key: KeyObject, place: string, plain: string | Buffer): string {
  const random = nonce();
  const cipher = createCipheriv(ALGORITHM, key, random);
  cipher.setAAD(Buffer.from(place));
  const body = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
  // GCM has encrypted every byte by now: `final` only computes the tag.
  cipher.final();
  return Buffer.concat([random, body, cipher.getAuthTag()]).toString('base64');
}

/**
 * Decrypts what `encrypt` returned.
 * @throws Error if it was altered or is of another place or key
 */
export function decrypt(key: KeyObject, place: string, content: string): Buffer {
  const bytes = Buffer.from(content, 'base64');
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('unable to decrypt; the value is too short');
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(place));
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  const plain = decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES));
  decipher.final();
  return plain;
}

export function seal(key: KeyObject, scope: string, place: string, plain: string | Buffer): string {
  return `${MARK}${scope}:${encrypt(key, place, plain)}`;
}

export function isSealed(text: string): boolean {
  return text.startsWith(MARK);
}

/** Splits an encrypted value. */
export function sealedText(text: string): SealedText {
  const end = text.indexOf(':', MARK.length);
  return { scope: text.slice(MARK.length, end), content: text.slice(end + 1) };
}
