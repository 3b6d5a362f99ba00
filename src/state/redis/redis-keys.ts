/*
 * Every key and channel that Sluice has in Redis, in one table. No other file spells a key. All keys of one script share a hash tag, so
 * that a Cluster has them in one slot; each key has a time to live, none is ever scanned for, and lists are bounded.
 *
 * | key (after the prefix)   | type   | holds                                              | lives                              |
 * |--------------------------|--------|----------------------------------------------------|------------------------------------|
 * | {bN}:meta:<response>     | hash   | head, fence, lease, next number, cancel, ended     | running 15 min sliding, then 10 min (unstored 60 s) |
 * | {bN}:log:<response>      | stream | its events; entry 0-(n+1) is event n               | as its meta                        |
 * | {bN}:leases              | zset   | running responses by the end of their lease        | 15 min after the last renewal      |
 * | {<conversation>}:head    | hash   | owner, times, metadata, title, bytes of its items  | state.ttl, sliding                 |
 * | {<conversation>}:items   | list   | its newest items (state.max_messages, max_bytes)   | as its head                        |
 * | {<conversation>}:commits | list   | the last 64 commits                                | as its head                        |
 * | {<conversation>}:queue   | zset   | responses that run or wait, in order               | 24 h after the last join or look   |
 * | {<conversation>}:announced | list | the last 64 responses that watchers were told of   | 10 min after the last one          |
 * | owner:<digest>           | zset   | an owner's newest 1,000 conversations              | state.ttl after the last use       |
 * | response:<response>      | string | an ended response, or that it was deleted          | state.ttl, sliding; 1 h            |
 * | rate:<bucket>            | hash   | level of a token bucket, its newest calls          | until it is full, at least 10 s    |
 * | once:<digest>            | string | the response that an idempotency key stands for    | 24 h                               |
 * | replicas                 | zset   | replicas by their last heartbeat                   | a minute after the last heartbeat  |
 *
 * | channel                  | tells                                                                             |
 * |--------------------------|-----------------------------------------------------------------------------------|
 * | {bN}:live:<response>     | events as they are appended; past 64 KiB only that there are some                 |
 * | {bN}:cancels             | ids of responses whose cancel was asked                                           |
 * | {<conversation>}:turns   | the new head of its queue, and responses that were announced                      |
 */

import { createHash } from 'node:crypto';

/** Responses are spread over so many hash tags, so that a sweep knows where to look and a Cluster shares the load. */
export const BUCKETS = 16;

/** What belongs to one response, all in one slot. */
export interface TurnKeys {
  readonly meta: string;
  readonly log: string;
  /** The lease index of its bucket. */
  readonly leases: string;
  /** Channel of its events. */
  readonly live: string;
  /** Channel of its bucket's cancels. */
  readonly cancels: string;
}

/**
 * What every id of Sluice consists of. Clients send any text as an id: a brace in it would move the keys of one script to different Cluster
 * slots, and a long one would be a long key.
 */
const WELL_FORMED = /^[\w.-]{1,128}$/;

/** A name is made anew rather than kept when there are more than so many responses. */
const TURNS_KEPT = 4_096;

export class RedisKeys {
  readonly #prefix: string;
  readonly #turns = new Map<string, TurnKeys>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The keys of a response; kept, since they are needed with every append. */
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
    // An ill-formed id is not worth the place, and may be long.
    if (responseId === id) this.#turns.set(id, keys);
    return keys;
  }

  readonly leases = (bucket: number): string => `${this.#prefix}{b${bucket}}:leases`;

  /** Head, items and commits, in the order that every conversation script has them. */
  readonly conversation = (id: string): readonly [string, string, string] => [
    `${this.#prefix}{${inKey(id)}}:head`,
    `${this.#prefix}{${inKey(id)}}:items`,
    `${this.#prefix}{${inKey(id)}}:commits`,
  ];
  readonly queue = (conversationId: string): string => `${this.#prefix}{${inKey(conversationId)}}:queue`;
  readonly announced = (conversationId: string): string => `${this.#prefix}{${inKey(conversationId)}}:announced`;
  readonly turns = (conversationId: string): string => `${this.#prefix}{${inKey(conversationId)}}:turns`;

  readonly owner = (owner: string): string => `${this.#prefix}owner:${digest(owner)}`;
  readonly response = (id: string): string => `${this.#prefix}response:${inKey(id)}`;
  readonly rate = (bucket: string): string => `${this.#prefix}rate:${bucket}`;
  readonly once = (owner: string, key: string): string => `${this.#prefix}once:${digest(`${owner}\n${key}`)}`;
  get replicas(): string {
    return `${this.#prefix}replicas`;
  }
}

/** Which bucket a response is in: FNV-1a of its id. Must never change, since replicas of two versions share one Redis. */
export function bucketOf(responseId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < responseId.length; i++) hash = Math.imul(hash ^ responseId.charCodeAt(i), 0x01000193);
  return (hash >>> 8) % BUCKETS;
}

/** An id as it stands in keys and channels. An ill-formed id becomes the name of nothing: it answers like an unknown one. */
function inKey(id: string): string {
  return WELL_FORMED.test(id) ? id : `ill-formed:${digest(id)}`;
}

/** What a caller chose, as a short name without personal data in it. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 27);
}

/** The Cluster slot of a key or channel: CRC16 (XMODEM) of its hash tag. */
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
