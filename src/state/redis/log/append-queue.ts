/*
 * Batches appends: all appends of one round of the event loop are sent in as few commands as the
 * slots allow, because the cost of a command exceeds that of its content. Each append stays atomic,
 * with the end of its response if it has one, and has its own result.
 */

import { type LoggedEvent, isTerminal } from '../../../domain/event.js';
import { type Fence } from '../../event-log.js';
import { bucketOf, type RedisKeys } from '../redis-keys.js';
import { type RedisCounts } from '../redis-options.js';
import { type Argument, type RedisCommands } from '../connection/redis-commands.js';
import { type SealedEnd } from '../conversation/redis-response-store.js';
import { type Script } from '../scripts.js';

interface Waiting {
  readonly responseId: string;
  readonly fence: Fence;
  readonly events: readonly LoggedEvent[];
  readonly end: SealedEnd | undefined;
  readonly resolve: (result: number | string) => void;
  readonly reject: (error: unknown) => void;
}

export interface AppendQueueOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly script: Script;
  readonly sharded: boolean;
  readonly counts: RedisCounts;
}

/** Most appends and characters in one command, so that no script blocks Redis for long. */
const APPENDS_MAX = 64;
const CHARACTERS_MAX = 256 * 1024;

export class AppendQueue {
  readonly #options: AppendQueueOptions;
  #waiting: Waiting[] = [];

  constructor(options: AppendQueueOptions) {
    this.#options = options;
  }

  /**
   * Queues an append.
   * @param end stored with the events. Never in a Cluster: it is in another slot
   * @returns the result of append.lua
   * @throws SluiceError `state_unavailable`
   */
  append(responseId: string, fence: Fence, events: readonly LoggedEvent[], end?: SealedEnd): Promise<number | string> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ responseId, fence, events, end, resolve, reject });
      if (this.#waiting.length === 1) queueMicrotask(() => this.#send());
    });
  }

  #send(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#options.counts.appends += waiting.length;
    if (!this.#options.sharded) {
      this.#sendParts(waiting);
      return;
    }
    const buckets = new Map<number, Waiting[]>();
    for (const append of waiting) {
      const bucket = bucketOf(append.responseId);
      const others = buckets.get(bucket);
      if (others === undefined) buckets.set(bucket, [append]);
      else others.push(append);
    }
    for (const appends of buckets.values()) this.#sendParts(appends);
  }

  #sendParts(waiting: readonly Waiting[]): void {
    let part: Waiting[] = [];
    let characters = 0;
    for (const append of waiting) {
      part.push(append);
      for (const { json } of append.events) characters += json.length;
      characters += append.end?.text.length ?? 0;
      if (part.length < APPENDS_MAX && characters < CHARACTERS_MAX) continue;
      void this.#sendPart(part);
      part = [];
      characters = 0;
    }
    if (part.length > 0) void this.#sendPart(part);
  }

  async #sendPart(part: readonly Waiting[]): Promise<void> {
    const { commands, keys, script } = this.#options;
    const names: string[] = [];
    const args: Argument[] = [];
    for (const { responseId, fence, events, end } of part) {
      const { meta, log, leases } = keys.turn(responseId);
      names.push(meta, log, leases);
      const ends = isTerminal(events.at(-1)?.type ?? 'response.created');
      args.push(fence, events[0]?.sequence ?? 0, ends ? 1 : 0, events.length, end?.ttlMs ?? '');
      if (end !== undefined) {
        names.push(end.key);
        args.push(end.text);
      }
      for (const { json } of events) args.push(json);
    }
    try {
      // append.lua returns one result for each append, in order.
      const results = (await commands.run(script, names, args)) as readonly (number | string)[];
      part.forEach(({ resolve }, i) => resolve(results[i] ?? 0));
    } catch (error) {
      for (const { reject } of part) reject(error);
    }
  }
}
