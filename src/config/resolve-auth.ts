/* Resolves how callers are authenticated: server keys, and the key of the tokens' issuer. */

import { createHash, createPublicKey } from 'node:crypto';
import { type Notes, readSecret, type ResolveContext } from './read-secret.js';
import { type AppConfig, type FileConfig, type ServerKeySettings } from './schema.js';

/** Fewest characters of a server key: 24 of base64 are 144 bits. */
const KEY_MIN_LENGTH = 24;

export function resolveKeys(
  { app, auth: { keys, mode } }: FileConfig,
  context: ResolveContext,
  notes: Notes,
): ServerKeySettings[] {
  return keys.map(({ key_env, key_file, key_sha256, ...rest }, i) => {
    const path = `auth.keys[${i}]`;
    const secret = readSecret({ path, name: 'key' }, key_env, key_file, mode !== 'none', context, notes);
    if (secret !== null && mode !== 'none' && secret.reveal().length < KEY_MIN_LENGTH) {
      const from = key_env === null ? 'key_file' : 'key_env';
      const problem = `the key has fewer than ${KEY_MIN_LENGTH} characters, so it could be guessed; make one with \`sluice keys new\``;
      if (app.environment === 'development') notes.warnings.push(`${path}.${from}: ${problem}`);
      else notes.mistakes.push({ path: `${path}.${from}`, problem });
    }
    const hash = secret === null ? (key_sha256 ?? '').toLowerCase() : sha256Hex(secret.reveal());
    return { ...rest, key_sha256: hash };
  });
}

/** Returns the stored form of a server key: the SHA-256 of its UTF-8 bytes, in lower-case hex. */
export function sha256Hex(key: string): string {
  return createHash('sha256').update(key, 'utf8').digest('hex');
}

/** Reads the public key of the tokens' issuer. */
export function resolveJwt(
  { mode, jwt }: FileConfig['auth'],
  context: ResolveContext,
  notes: Notes,
): AppConfig['auth']['jwt'] {
  if (jwt === null) return null;
  if (mode !== 'jwt' || jwt.public_key_file === null) return { ...jwt, public_key: null };
  const at = { path: 'auth.jwt', name: 'public_key' };
  const pem = readSecret(at, null, jwt.public_key_file, true, context, notes)?.reveal() ?? null;
  const problem = pem === null ? undefined : keyProblem(pem);
  if (problem !== undefined) notes.mistakes.push({ path: 'auth.jwt.public_key_file', problem });
  return { ...jwt, public_key: pem };
}

function keyProblem(pem: string): string | undefined {
  if (pem.includes('PRIVATE KEY')) return 'the file holds a private key, which signs tokens; give the public key only';
  try {
    createPublicKey(pem);
    return undefined;
  } catch {
    return 'the file holds no public key in PEM; give the SPKI public key, or the certificate, of the issuer';
  }
}
