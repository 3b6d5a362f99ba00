/*
 * The event log in Redis. One fenced script for each flush appends, renews the lease, publishes and
 * returns the cancel flag. Followers on the writing replica receive events directly, others by
 * pub/sub, and both fill gaps by reading. Each replica remembers the newest events that it wrote,
 * in case Redis loses them.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { randomUUID } from 'node:crypto';
import { isTerminal, type LoggedEvent } from '../../../domain/event.js';
import { type StoredResponse } from '../../../domain/response.js';
import { EndNotStored, endInSteps } from '../../end-in-steps.js';
import {
  type AppendResult,
  type CreatedLog,
  type EndResult,
  EventLog,
  type Fence,
  type LogHead,
  type LogPage,
} from '../../event-log.js';
import { type Retention, ttlOf } from '../../retention.js';
import { type AppendQueue } from './append-queue.js';
import { type RedisKeys } from '../redis-keys.js';
import { type RedisResponseStore } from '../conversation/redis-response-store.js';
import { Follower } from './follower.js';
import { FreshLogs } from './fresh-logs.js';
import { type LocalFollowers } from './local-followers.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type Scripts } from '../scripts.js';
import { type Subscriptions } from '../connection/subscriptions.js';
import { isObject, parseStored } from '../stored-json.js';
import { type LogPacker } from './log-packer.js';
import { SealedLog, type SealedLogOptions } from './sealed-log.js';
import { type WrittenTails } from './written-tails.js';

export interface RedisEventLogOptions extends Omit<SealedLogOptions, 'readHead'> {
  readonly commands: RedisCommands;
  readonly appends: AppendQueue;
  /** Stores ended responses. */
  readonly responses: Pick<RedisResponseStore, 'put' | 'sealed' | 'firstOf'>;
  readonly subscriptions: Subscriptions;
  readonly tails: WrittenTails;
  readonly packer: Pick<LogPacker, 'add'>;
  readonly local: LocalFollowers;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly retention: Retention;
  /** Whether a script can only use keys of one slot (Cluster). */
  readonly sharded: boolean;
  /** How long an ended log is stored, in milliseconds, unless its class is stored for less. */
  readonly endedMs: number;
  readonly time?: Time;
}

/** Sends events as Redis stores them. @returns the result of append.lua */
type Send = (sealed: readonly LoggedEvent[]) => Promise<number | string>;

/** Results of append.lua. A result −(n+1) says that the log ends before event n. */
const FENCED = 0;
const CANCEL_REQUESTED = 2;

export class RedisEventLog extends EventLog {
  readonly #options: RedisEventLogOptions;
  /** Heads of followed logs, so that a tail check does not transfer the request again. */
  readonly #heads = new Map<string, LogHead>();
  /** Number of followers by response. */
  readonly #followed = new Map<string, number>();
  readonly #sealed: SealedLog;
  readonly #fresh: FreshLogs;

  constructor(options: RedisEventLogOptions) {
    super();
    this.#options = options;
    this.#fresh = new FreshLogs({ tails: options.tails, time: options.time ?? systemTime });
    const readHead = async (responseId: string) => (await this.read(responseId, -1, 0))?.head;
    this.#sealed = new SealedLog({ ...options, readHead });
  }

  override async create(head: LogHead): Promise<Fence> {
    return (await this.createWith(head, [])).fence;
  }

  override async createWith(
    head: LogHead,
    first: readonly LoggedEvent[],
    next: readonly LoggedEvent[] = [],
  ): Promise<CreatedLog> {
    const { commands, keys, scripts, sharded, local, tails } = this.#options;
    const { responseId, conversationId } = head;
    const { meta, log, leases } = keys.turn(responseId);
    // In a Cluster the queue of the conversation is in another slot, where this script cannot find
    // the turn's place.
    const all = conversationId !== null && sharded ? first : [...first, ...next];
    const mayBegin = all.length > first.length;
    const inQueue =
      conversationId === null || !mayBegin ? [] : [keys.queue(conversationId), keys.announced(conversationId)];
    const channel = conversationId === null ? '' : keys.turns(conversationId);
    const [headText, ...events] = await this.#sealed.created(head, all);
    const created = await commands.run(
      scripts.get('create'),
      [meta, log, leases, ...inQueue],
      [
        ...[responseId, headText, head.store ? 1 : 0, randomUUID(), this.#keepOf(head), channel, first.length],
        ...events,
      ],
    );
    if (created === 0) throw new Error(`unable to create the log of ${responseId}; it exists already`);
    const begun = created === 2;
    tails.add(responseId, begun ? all : first);
    local.confirm(responseId);
    this.#fresh.add(head);
    return { fence: 1, begun };
  }

  /** Returns how long a log is stored after its end, or '' if that is as usual. */
  #keepOf({ store, limitsClass }: LogHead): number | '' {
    const ttlMs = ttlOf(this.#options.retention, limitsClass);
    return store && ttlMs < this.#options.endedMs ? ttlMs : '';
  }

  override async append(responseId: string, fence: Fence, events: readonly LoggedEvent[]): Promise<AppendResult> {
    const append = (sealed: readonly LoggedEvent[]) => this.#options.appends.append(responseId, fence, sealed);
    // The cast is safe: `#write` returns a text only if there is an end to store.
    return (await this.#write(responseId, events, append)) as AppendResult;
  }

  override async end(
    responseId: string,
    fence: Fence,
    events: readonly LoggedEvent[],
    stored: StoredResponse,
  ): Promise<EndResult> {
    const { responses, sharded } = this.#options;
    // In a Cluster the stored response is in another slot than its log.
    if (sharded) return endInSteps({ events: this, responses }, responseId, fence, events, stored);
    const notStored = (error: unknown): never => {
      throw new EndNotStored(error);
    };
    const sealed = await responses.sealed(stored).catch(notStored);
    const append = (more: readonly LoggedEvent[]) => this.#options.appends.append(responseId, fence, more, sealed);
    const written = await this.#write(responseId, events, append);
    if (typeof written !== 'string') return written;
    const first = await responses.firstOf(stored, written).catch(notStored);
    // Undefined: the response was deleted.
    if (first !== undefined && first !== stored) return { outcome: 'ended_before', stored: first };
    return this.append(responseId, fence, events);
  }

  /**
   * Appends events by a script that does more with them.
   * @param send sends the script with the events as Redis stores them. @returns the result of
   * append.lua
   */
  async appendBy(
    responseId: string,
    events: readonly LoggedEvent[],
    send: (sealed: readonly LoggedEvent[]) => Promise<number>,
  ): Promise<AppendResult> {
    // The cast is safe: `#write` returns a text only if `send` does.
    return (await this.#write(responseId, events, send)) as AppendResult;
  }

  /** Returns a text if an end is stored already, and nothing was appended. */
  async #write(responseId: string, events: readonly LoggedEvent[], send: Send): Promise<AppendResult | string> {
    const { tails, packer, local, hooks } = this.#options;
    let result = await this.#append(responseId, events, send);
    if (typeof result === 'number' && result < 0) {
      const lost = tails.between(responseId, -result - 1, events[0]?.sequence ?? 0);
      if (lost !== undefined) {
        // The same numbers with the same text: viewers that saw the lost events drop them by their
        // numbers.
        result = await this.#append(responseId, [...lost, ...events], send);
        if (Number(result) > FENCED) hooks.onTailRepaired?.(lost.length);
      }
    }
    if (typeof result === 'string') return result;
    if (result <= FENCED) {
      this.#sealed.end(responseId);
      tails.end(responseId);
      local.lose(responseId);
      return { outcome: 'fenced' };
    }
    if (isTerminal(events.at(-1)?.type ?? 'response.created')) {
      this.#sealed.shortenKey(responseId);
      this.#sealed.end(responseId);
      tails.end(responseId);
      packer.add(responseId);
      local.deliver(responseId, events);
      local.end(responseId);
    } else if (events.length > 0) {
      tails.add(responseId, events);
      local.confirm(responseId);
      local.deliver(responseId, events);
    }
    return { outcome: 'appended', cancelRequested: result === CANCEL_REQUESTED };
  }

  override async read(responseId: string, after: number, limit: number): Promise<LogPage | undefined> {
    const { commands, keys, scripts, hooks } = this.#options;
    const fresh = after === -1 && limit > 0 ? this.#fresh.take(responseId, limit) : undefined;
    if (fresh !== undefined) {
      if (this.#followed.has(responseId)) this.#heads.set(responseId, fresh.head);
      return fresh;
    }
    const known = this.#heads.get(responseId);
    const { meta, log } = keys.turn(responseId);
    const page = await commands.run(scripts.get('read'), [meta, log], [after, limit, known === undefined ? 1 : 0]);
    if (page === null) return undefined;
    if (page === '') {
      hooks.onUnreadable?.('log');
      return undefined;
    }
    // read.lua: next number, ended, head, events.
    const [next, ended, headJson, ...entries] = page as readonly string[];
    const json = known === undefined ? await this.#sealed.openHead(responseId, headJson ?? '') : '';
    // Without its data key, the log was erased with its conversation.
    if (json === undefined) return undefined;
    const head = known ?? parseStored(json, 'log', hooks, isHead);
    if (head === undefined) return undefined;
    const events = await this.#sealed.openPage(responseId, entries, after, limit);
    if (events === undefined) return undefined;
    if (this.#followed.has(responseId)) this.#heads.set(responseId, head);
    return { head, events, last: Number(next) - 1, ended: ended === '1' };
  }

  /** Sends an append in this round of the event loop if its data key is in memory. */
  async #append(responseId: string, events: readonly LoggedEvent[], send: Send): Promise<number | string> {
    const sealed = this.#sealed.appended(responseId, events);
    const written = sealed instanceof Promise ? await sealed : sealed;
    return written === undefined ? FENCED : send(written);
  }

  override async subscribe(
    responseId: string,
    onEvents: (events: readonly LoggedEvent[]) => void,
    onGap: () => void,
  ): Promise<() => void> {
    const follower = new Follower(onEvents, onGap);
    const onMove = (): void => void this.#moveToMessages(responseId, follower);
    follower.leave = this.#options.local.add(responseId, { onEvents, onMove });
    if (follower.leave === undefined) await this.#listen(responseId, follower);
    this.#followed.set(responseId, (this.#followed.get(responseId) ?? 0) + 1);
    return () => {
      if (follower.ended) return;
      follower.end();
      const others = (this.#followed.get(responseId) ?? 1) - 1;
      if (others > 0) this.#followed.set(responseId, others);
      else {
        this.#followed.delete(responseId);
        this.#heads.delete(responseId);
      }
    };
  }

  override async requestCancel(responseId: string): Promise<boolean> {
    const { commands, keys, scripts } = this.#options;
    const { meta, cancels } = keys.turn(responseId);
    return (await commands.run(scripts.get('cancel'), [meta], [responseId, cancels])) === 1;
  }

  override async delete(responseId: string): Promise<void> {
    const { commands, keys, scripts, tails, local } = this.#options;
    const { meta, log, leases, live } = keys.turn(responseId);
    await commands.run(scripts.get('delete'), [meta, log, leases], [responseId, live]);
    this.#sealed.end(responseId);
    tails.end(responseId);
    local.lose(responseId);
  }

  async #listen(responseId: string, follower: Follower): Promise<void> {
    const { subscriptions, keys } = this.#options;
    const onMessage = this.#sealed.reader(responseId, follower.onEvents, follower.onGap);
    const leave = await subscriptions.listen(keys.turn(responseId).live, { onMessage, onGap: follower.onGap });
    if (follower.ended) leave();
    else follower.leave = leave;
  }

  /**
   * Subscribes a follower to messages, because this replica may no longer be the writer. Retries
   * until that succeeds.
   */
  async #moveToMessages(responseId: string, follower: Follower): Promise<void> {
    try {
      await this.#listen(responseId, follower);
      if (!follower.ended) follower.onGap();
    } catch {
      // Until the subscription succeeds, tail checks deliver the events.
      const again = (): void => void (follower.ended ? undefined : this.#moveToMessages(responseId, follower));
      (this.#options.time ?? systemTime).after(MOVE_AGAIN_MS, again);
    }
  }
}

function isHead(value: unknown): value is LogHead {
  return isObject(value);
}

const MOVE_AGAIN_MS = 500;
