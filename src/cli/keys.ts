/*
 * `sluice keys`: creates and hashes server keys. A hash does not reveal its key, so it may be kept
 * in a file.
 */

import { randomBytes } from 'node:crypto';
import { sha256Hex } from '../config/resolve-auth.js';
import { type CliContext } from './context.js';

const EXIT_NO_INPUT = 66;
const KEY_BYTES = 32;

export function newKey({ print, complain }: CliContext): number {
  const key = `sk-sluice-${randomBytes(KEY_BYTES).toString('base64url')}`;
  print(key);
  complain(`Keep it like a password; it is not shown again. The gateway accepts it with:

auth:
  mode: keys
  keys:
    - id: my-key
      key_sha256: ${sha256Hex(key)}
      scopes: [chat]`);
  return 0;
}

export async function hashKey({ input, print, complain }: CliContext): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  const key = Buffer.concat(chunks).toString('utf8').trim();
  if (key === '') {
    complain('unable to hash a key; standard input was empty; try: echo "$SLUICE_API_KEY" | sluice keys hash');
    return EXIT_NO_INPUT;
  }
  print(sha256Hex(key));
  return 0;
}
