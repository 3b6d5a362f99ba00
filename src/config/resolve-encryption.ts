/* Reads the master keys of `state.encryption`. Collects mistakes; never throws or prints. */

import { type Notes, readSecret, type ResolveContext } from './read-secret.js';
import { type Secret } from './secret.js';

/** The master keys as base64, each of 32 bytes. */
export interface EncryptionKeys {
  readonly current: Secret;
  readonly next: Secret | null;
  readonly previous: readonly Secret[];
}

/** The keys of the section that name master keys. */
interface EncryptionSection {
  readonly key_env: string | null;
  readonly key_file: string | null;
  readonly next_key_env: string | null;
  readonly next_key_file: string | null;
  readonly previous_key_envs: readonly string[];
  readonly previous_key_files: readonly string[];
}

/** A key by its place in the file, and the variable or file that holds it. */
interface NamedKey {
  readonly name: string;
  readonly env: string | null;
  readonly file: string | null;
}

const PATH = 'state.encryption';
const KEY_BYTES = 32;
const BASE64 = /^[\w+/-]+={0,2}$/u;

/** @returns null if no key is configured, or if there are mistakes */
export function resolveEncryption(
  { type, encryption }: { readonly type: 'memory' | 'redis'; readonly encryption: EncryptionSection },
  context: ResolveContext,
  notes: Notes,
): EncryptionKeys | null {
  const { key_env, key_file, next_key_env, next_key_file, previous_key_envs, previous_key_files } = encryption;
  const current = { name: 'key', env: key_env, file: key_file };
  const next = { name: 'next_key', env: next_key_env, file: next_key_file };
  const previous = [
    ...previous_key_envs.map((env, i) => ({ name: `previous_key_envs[${i}]`, env, file: null })),
    ...previous_key_files.map((file, i) => ({ name: `previous_key_files[${i}]`, env: null, file })),
  ];
  const given = [current, next, ...previous].find(isGiven);
  if (given === undefined) return null;
  const path = pathOf(given);
  if (type === 'memory') {
    const problem = '`state.type` is `memory`, which writes text nowhere; leave it out, or use `redis`';
    notes.mistakes.push({ path, problem });
    return null;
  }
  if (!isGiven(current)) {
    const problem = 'there is no current key beside it; give `key_env` or `key_file`';
    notes.mistakes.push({ path, problem });
    return null;
  }
  const read = (key: NamedKey): Secret | null => readKey(key, context, notes);
  const key = read(current);
  const keys = {
    next: isGiven(next) ? read(next) : null,
    previous: previous.map(read).filter((former) => former !== null),
  };
  return key === null ? null : { current: key, ...keys };
}

function isGiven({ env, file }: NamedKey): boolean {
  return env !== null || file !== null;
}

/** Returns the key of the file. A key in a list is named by its place in the list. */
function pathOf({ name, file }: NamedKey): string {
  return name.endsWith(']') ? `${PATH}.${name}` : `${PATH}.${name}_${file === null ? 'env' : 'file'}`;
}

function readKey(key: NamedKey, context: ResolveContext, notes: Notes): Secret | null {
  const path = pathOf(key);
  const own: Notes = { mistakes: [], warnings: [] };
  const secret = readSecret({ path: PATH, name: key.name }, key.env, key.file, true, context, own);
  notes.mistakes.push(...own.mistakes.map(({ problem }) => ({ path, problem })));
  notes.warnings.push(...own.warnings);
  if (secret === null) return null;
  const text = secret.reveal();
  const length = BASE64.test(text) ? Buffer.from(text, 'base64').length : undefined;
  if (length === KEY_BYTES) return secret;
  const problem = length === undefined ? 'the key is not base64' : `the key has ${length} bytes, not ${KEY_BYTES}`;
  notes.mistakes.push({ path, problem: `${problem}; make one with \`openssl rand -base64 32\`` });
  return null;
}
