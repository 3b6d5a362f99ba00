/*
 * The form of a client secret: `ek_`, the random part of its public id, then the secret part. The
 * id finds the stored hash; the hash of the whole decides.
 */

import { createHash, randomBytes } from 'node:crypto';

const FORM = /^ek_([\w-]{22})[\w-]{43}$/u;
const ID_BYTES = 16;
const SECRET_BYTES = 32;

export interface NewSecret {
  readonly id: string;
  readonly value: string;
  readonly hash: string;
}

export function newSecret(): NewSecret {
  const id = randomBytes(ID_BYTES).toString('base64url');
  const value = `ek_${id}${randomBytes(SECRET_BYTES).toString('base64url')}`;
  return { id: `cs_${id}`, value, hash: hashOf(value) };
}

/** Whether a credential claims to be a client secret. */
export function isClientSecret(credential: string): boolean {
  return credential.startsWith('ek_');
}

/** Returns the id of a secret, or undefined if it is malformed. */
export function idOf(value: string): string | undefined {
  const id = FORM.exec(value)?.[1];
  return id === undefined ? undefined : `cs_${id}`;
}

export function hashOf(value: string): string {
  return createHash('sha256').update(value, 'utf8').digest('hex');
}
