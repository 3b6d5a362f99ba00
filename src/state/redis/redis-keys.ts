/*
 * Every key and channel that Sluice uses in Redis, in one table. No other file spells a key. In a
 * Cluster all keys of one script share a hash tag, so that they are in one slot. Each key has a
 * time to live, lists are bounded, and no key is found by SCAN.
 *
 * | key (after the prefix)   | type   | holds                                              | lives                              |
 * |--------------------------|--------|----------------------------------------------------|------------------------------------|
 * | {bN}:meta:<response>     | hash   | head, fence, lease, next number, cancel, ended, packed events | running 15 min sliding, then 10 min or the ttl (unstored 60 s) |
 * | {bN}:log:<response>      | stream | its events; entry 0-(n+1) is event n               | as its meta, until it is packed 10 s after its end |
 * | {bN}:leases              | zset   | running responses by the end of their lease        | 15 min after the last renewal      |
 * | {<conversation>}:head    | hash   | owner, class, times, metadata, title, bytes of its items | state.ttl or that of its class, sliding |
 * | {<conversation>}:items   | list   | its newest items (state.max_messages, max_bytes)   | as its head                        |
 * | {<conversation>}:commits | list   | the last 64 commits                                | as its head                        |
 * | {<conversation>}:committed:<response> | string | that a turn has stored its items | 60 s                     |
 * | {<conversation>}:queue   | zset   | responses that run or wait, in order               | 24 h after the last join or poll   |
 * | {<conversation>}:rejoin:<call> | string | that a call has moved its response    | 15 min                             |
 * | {<conversation>}:announced | list | the last 64 announced responses                    | 10 min after the last one          |
 * | {<id>}:key               | hash   | encrypted data key of a conversation, response or secret, or that it was erased | 10 min longer than what it encrypts; 1 h |
 * | owner:<digest>           | zset   | an owner's newest 1,000 conversations              | state.ttl and 1 min after the last use |
 * | response:<response>      | string | an ended response, or that it was deleted          | state.ttl, sliding; 1 h            |
 * | rate:<bucket>            | hash   | level of a token bucket, its newest calls          | until it is full, at least 10 s    |
 * | once:<digest>            | string | the response that an idempotency key names         | 24 h                               |
 * | once-of:<digest>         | set    | keys `once:` of a user                             | 24 h after the last one            |
 * | responses-of:<digest>    | zset   | a user's newest 10,000 responses                   | 31 days after the last one         |
 * | secret:<id>              | string | hash of a client secret, user, binding             | until it expires                   |
 * | secrets-of:<digest>      | zset   | an owner's newest 1,000 client secrets             | an hour after the last one expires |
 * | revoked:<digest>         | string | when the owner's credentials were revoked          | 31 days                            |
 * | revocations              | stream | the last 10,000 revocations                        | an hour after the last one         |
 * | replicas                 | zset   | replicas by their last heartbeat                   | a minute after the last heartbeat  |
 *
 * | channel                  | carries                                                                           |
 * |--------------------------|-----------------------------------------------------------------------------------|
 * | {bN}:live:<response>     | events as they are appended; an empty message for more than 64 KiB                |
 * | {bN}:cancels             | ids of responses whose cancel was requested                                       |
 * | {<conversation>}:turns   | the new head of its queue, and announced responses                                |
 */

import { createHash } from 'node:crypto';

/**
 * Number of hash tags over which responses are spread: a sweep reads this many indexes, and a
 * Cluster shares the load.
 */
export const BUCKETS = 16;

/** The keys and channels of one response, all in one slot. */
export interface TurnKeys {
  readonly meta: string;
  readonly log: string;
  /** The lease index of its bucket. */
  readonly leases: string;
  /** The channel of its events. */
  readonly live: string;
  /** The channel of its bucket's cancels. */
  readonly cancels: string;
}

/**
 * The form of every id of Sluice. A client can send any text as an id: a brace in it would move the
 * keys of one script to different Cluster slots, and a long id would be a long key.
 */
const WELL_FORMED = /^[\w.-]{1,128}$/;

/** Most responses whose keys are cached; the cache is cleared beyond that. */
const TURNS_KEPT = 4_096;

export class RedisKeys {
  readonly #prefix: string;
  readonly #turns = new Map<string, TurnKeys>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Returns the keys of a response. They are cached, since every append needs them. */
  turn(id: string): TurnKeys {
    const known = this.#turns.get(id);
    if (known !== undefined) return known;
    const responseId = inKey(id);
    const bucket = `${this.#prefix}{b${bucketOf(responseId)}}:`;
    const keys = {
      meta: `${bucket}meta:${responseId}`,
      log: `${bucket}log:${responseId}`,
      leases: `${bucket}leases`,
      live: `${bucket}live:${responseId}`,
      cancels: `${bucket}cancels`,
    };
    if (this.#turns.size >= TURNS_KEPT) this.#turns.clear();
    // An ill-formed id is not cached: it may be long, and names no response.
    if (responseId === id) this.#turns.set(id, keys);
    return keys;
  }

  readonly leases = (bucket: number): string => `${this.#prefix}{b${bucket}}:leases`;

  /** Head, items and commits, in the order of KEYS in every conversation script. */
  readonly conversation = (id: string): readonly [string, string, string] => [
    `${this.#prefix}{${inKey(id)}}:head`,
    `${this.#prefix}{${inKey(id)}}:items`,
    `${this.#prefix}{${inKey(id)}}:commits`,
  ];
  readonly committed = (conversationId: string, commitId: string): string =>
    `${this.#prefix}{${inKey(conversationId)}}:committed:${inKey(commitId)}`;
  readonly queue = (conversationId: string): string => `${this.#prefix}{${inKey(conversationId)}}:queue`;
  readonly rejoin = (conversationId: string, call: string): string =>
    `${this.#prefix}{${inKey(conversationId)}}:rejoin:${inKey(call)}`;
  readonly announced = (conversationId: string): string => `${this.#prefix}{${inKey(conversationId)}}:announced`;
  readonly turns = (conversationId: string): string => `${this.#prefix}{${inKey(conversationId)}}:turns`;

  /** The data key of a conversation, response or secret; in the slot of a conversation. */
  readonly dataKey = (scope: string): string => `${this.#prefix}{${inKey(scope)}}:key`;

  readonly owner = (owner: string): string => `${this.#prefix}owner:${digest(owner)}`;
  readonly response = (id: string): string => `${this.#prefix}response:${inKey(id)}`;
  readonly rate = (bucket: string): string => `${this.#prefix}rate:${bucket}`;
  readonly once = (owner: string, key: string): string => `${this.#prefix}once:${digest(`${owner}\n${key}`)}`;
  readonly onceOf = (owner: string): string => `${this.#prefix}once-of:${digest(owner)}`;
  readonly responsesOf = (owner: string): string => `${this.#prefix}responses-of:${digest(owner)}`;
  readonly secret = (id: string): string => `${this.#prefix}secret:${inKey(id)}`;
  readonly secretsOf = (owner: string): string => `${this.#prefix}secrets-of:${digest(owner)}`;
  readonly revoked = (owner: string): string => `${this.#prefix}revoked:${digest(owner)}`;
  get revocations(): string {
    return `${this.#prefix}revocations`;
  }
  get replicas(): string {
    return `${this.#prefix}replicas`;
  }
}

/**
 * Returns the bucket of a response: FNV-1a of its id. Must never change, since replicas of two
 * versions share one Redis.
 */
export function bucketOf(responseId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < responseId.length; i++) hash = Math.imul(hash ^ responseId.charCodeAt(i), 0x01000193);
  return (hash >>> 8) % BUCKETS;
}

/**
 * Returns an id as it is written in keys and channels. An ill-formed id becomes a name that no key
 * has, so it reads as unknown.
 */
function inKey(id: string): string {
  return WELL_FORMED.test(id) ? id : `ill-formed:${digest(id)}`;
}

/** Returns a short digest of text that a caller chose, so that keys hold no personal data. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 27);
}

/** Returns the Cluster slot of a key or channel: CRC16 (XMODEM) of its hash tag. */
export function slotOf(key: string): number {
  const start = key.indexOf('{');
  const end = start < 0 ? -1 : key.indexOf('}', start + 1);
  const tagged = end > start + 1 ? key.slice(start + 1, end) : key;
  let crc = 0;
  for (const byte of Buffer.from(tagged)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  }
  return crc & 0x3fff;
}
