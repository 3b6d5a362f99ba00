/*
 * Client secrets and revocations in Redis. Replicas read the list of revocations every second, so
 * that no lost message can keep a revoked socket open.
 */

import { systemTime, type Time } from '../../domain/time.js';
import {
  CredentialStore,
  ownerDigest,
  type Revocation,
  type RevocationPage,
  REVOCATIONS_MAX,
  REVOCATIONS_MS,
  REVOKED_MS,
  type StoredSecret,
} from '../credential-store.js';
import { type RedisCommands } from './connection/redis-commands.js';
import { type RedisKeys } from './redis-keys.js';
import { type RedisHooks } from './redis-options.js';
import { KEY_SLACK_MS } from './scripts.js';
import { PLACES } from './encryption/sealed-text.js';
import { type Vault } from './encryption/vault.js';
import { isObject, parseStored } from './stored-json.js';

export interface RedisCredentialStoreOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly hooks: RedisHooks;
  readonly vault: Vault;
  readonly time?: Time;
}

/** Most secrets of one owner that are listed. The ones that expire first are dropped first. */
const SECRETS_OF_OWNER_MAX = 1_000;
/** How long the list of an owner outlives its secrets: the clocks of Redis and replicas differ. */
const LIST_SLACK_MS = 60 * 60_000;
/** Most revocations that are read at once. */
const PAGE = 1_000;

export class RedisCredentialStore extends CredentialStore {
  readonly #options: RedisCredentialStoreOptions;
  readonly #time: Time;

  constructor(options: RedisCredentialStoreOptions) {
    super();
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  override async putSecret(secret: StoredSecret): Promise<void> {
    const { commands, keys, vault } = this.#options;
    const leftMs = secret.expiresAtMs - this.#time.date();
    if (leftMs <= 0) return;
    const list = keys.secretsOf(secret.owner);
    // List the secret before it exists: whatever fails in between, no secret is out of reach of a
    // revocation.
    await commands.call('ZADD', list, secret.expiresAtMs, secret.id);
    await commands.call('ZREMRANGEBYSCORE', list, '-inf', this.#time.date());
    const dropped = await commands.call('ZRANGE', list, 0, -(SECRETS_OF_OWNER_MAX + 1));
    for (const id of texts(dropped)) {
      await this.#erase(id);
      await commands.call('ZREM', list, id);
    }
    // GT: a secret that expires sooner must not shorten the life of the list. NX: the list is new.
    for (const only of ['NX', 'GT']) await commands.call('PEXPIREAT', list, secret.expiresAtMs + LIST_SLACK_MS, only);
    const sealer = await vault.sealer({ name: secret.id, life: leftMs + KEY_SLACK_MS });
    const text = sealer.text(PLACES.secret(secret.id), JSON.stringify(secret));
    await commands.call('SET', keys.secret(secret.id), text, 'PX', leftMs);
  }

  override async getSecret(id: string): Promise<StoredSecret | undefined> {
    const { commands, keys, hooks, vault } = this.#options;
    const text = await commands.call('GET', keys.secret(id));
    const json = text === null ? undefined : await vault.open(PLACES.secret(id), String(text));
    return json === undefined ? undefined : parseStored(json, 'secret', hooks, isSecret);
  }

  override async deleteSecret(id: string): Promise<void> {
    // List first: if this replica stops in between, the secret is still there and can be deleted
    // again.
    await this.#list({ secret: id });
    await this.#erase(id);
  }

  override async revokeOwner(owner: string): Promise<void> {
    const { commands, keys } = this.#options;
    await commands.call('SET', keys.revoked(owner), this.#time.date(), 'PX', REVOKED_MS);
    const list = keys.secretsOf(owner);
    for (const id of texts(await commands.call('ZRANGE', list, 0, -1))) {
      await this.#erase(id);
      await commands.call('ZREM', list, id);
    }
    await this.#list({ owner: ownerDigest(owner) });
  }

  override async revokedAt(owner: string): Promise<number | undefined> {
    const { commands, keys } = this.#options;
    const at = await commands.call('GET', keys.revoked(owner));
    return at === null ? undefined : Number(at);
  }

  override async revocationsAfter(cursor: string | null): Promise<RevocationPage> {
    const { commands, keys } = this.#options;
    if (cursor === null) {
      const [newest] = entries(await commands.call('XREVRANGE', keys.revocations, '+', '-', 'COUNT', 1));
      return { revocations: [], cursor: newest?.id ?? '0-0' };
    }
    const page = entries(await commands.call('XRANGE', keys.revocations, `(${cursor}`, '+', 'COUNT', PAGE));
    return { revocations: page.map(({ revocation }) => revocation), cursor: page.at(-1)?.id ?? cursor };
  }

  async #erase(id: string): Promise<void> {
    const { commands, keys, vault } = this.#options;
    await commands.call('DEL', keys.secret(id));
    await vault.erase(id);
  }

  async #list(revocation: Revocation): Promise<void> {
    const { commands, keys } = this.#options;
    const [field, value] = 'secret' in revocation ? ['secret', revocation.secret] : ['owner', revocation.owner];
    await commands.call('XADD', keys.revocations, 'MAXLEN', '~', REVOCATIONS_MAX, '*', field, value);
    await commands.call('PEXPIRE', keys.revocations, REVOCATIONS_MS);
  }
}

function isSecret(value: unknown): value is StoredSecret {
  return isObject(value) && 'hash' in value && 'owner' in value && 'user' in value;
}

function texts(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}

/** The entries of a stream's range: `[id, [field, value]]`. */
function entries(reply: unknown): { readonly id: string; readonly revocation: Revocation }[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((entry: unknown) => {
    const [id, fields] = Array.isArray(entry) ? (entry as [unknown, unknown]) : [];
    const [field, value] = texts(fields);
    if (value === undefined) return [];
    return [{ id: String(id), revocation: field === 'secret' ? { secret: value } : { owner: value } }];
  });
}
