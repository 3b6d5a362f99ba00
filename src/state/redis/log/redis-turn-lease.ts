/*
 * Leases in Redis, by the clock of Redis. Expired leases are found in sixteen indexes. The owners
 * of turns on a server that was unreachable may have been cut off too. If this replica adopted
 * those turns at once, it would end turns that still run. It waits one lease after the server's
 * return, so that owners can renew first.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { type Fence, TurnLease } from '../../event-log.js';
import { type Heartbeat } from '../connection/heartbeat.js';
import { BUCKETS, type RedisKeys } from '../redis-keys.js';
import { type LocalFollowers } from './local-followers.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type Scripts } from '../scripts.js';
import { type Subscriptions } from '../connection/subscriptions.js';

export interface RedisTurnLeaseOptions {
  readonly commands: RedisCommands;
  readonly subscriptions: Subscriptions;
  readonly heartbeat: Heartbeat;
  readonly local: LocalFollowers;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly sharded: boolean;
  readonly leaseMs: number;
  readonly time?: Time;
}

export class RedisTurnLease extends TurnLease {
  readonly #options: RedisTurnLeaseOptions;
  readonly #watchers = new Map<string, Set<() => void>>();
  /**
   * The subscription to the cancels of each bucket, from the first watch on. One for each turn
   * would cost more commands.
   */
  readonly #channels = new Map<string, Promise<unknown>>();

  constructor(options: RedisTurnLeaseOptions) {
    super();
    this.#options = options;
  }

  override async renew(responseId: string, fence: Fence): Promise<{ held: boolean; cancelRequested: boolean }> {
    const { commands, keys, scripts, local } = this.#options;
    const { meta, log, leases } = keys.turn(responseId);
    const names = [meta, log, leases];
    const renewed = await commands.run(scripts.get('renew'), names, [responseId, fence]);
    if (renewed === 0) local.lose(responseId);
    else local.confirm(responseId);
    return { held: renewed !== 0, cancelRequested: renewed === 2 };
  }

  override async watchCancel(responseId: string, onCancel: () => void): Promise<() => void> {
    const watchers = this.#watchers.get(responseId) ?? new Set();
    const watcher = (): void => onCancel();
    watchers.add(watcher);
    this.#watchers.set(responseId, watchers);
    // If the subscription fails, the turn sees a cancel in the result of its next append or
    // renewal.
    await this.#listen(this.#options.keys.turn(responseId).cancels).catch(() => undefined);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(responseId) === watchers) this.#watchers.delete(responseId);
    };
  }

  override async adoptExpired(limit: number): Promise<{ responseId: string; fence: Fence }[]> {
    const { keys, sharded } = this.#options;
    const indexes = Array.from({ length: BUCKETS }, (_, bucket) => keys.leases(bucket)).filter((key) =>
      this.#mayAdoptFrom(key),
    );
    if (!sharded) return indexes.length === 0 ? [] : this.#adopt(indexes, limit);
    const adopted: { responseId: string; fence: Fence }[] = [];
    for (const index of indexes) {
      if (adopted.length >= limit) break;
      // An unreachable server must not keep this replica from adopting the turns on other servers.
      adopted.push(...(await this.#adopt([index], limit - adopted.length).catch(() => [])));
    }
    return adopted;
  }

  override async release(responseId: string, fence: Fence): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    const { meta, leases } = keys.turn(responseId);
    await commands.run(scripts.get('release'), [meta, leases], [responseId, fence]);
  }

  async #adopt(indexes: readonly string[], limit: number): Promise<{ responseId: string; fence: Fence }[]> {
    const { commands, scripts } = this.#options;
    // adopt.lua: response, fence, response, fence…
    const reply = (await commands.run(scripts.get('adopt'), indexes, [limit])) as readonly (string | number)[];
    const adopted: { responseId: string; fence: Fence }[] = [];
    for (let i = 0; i + 1 < reply.length; i += 2) {
      adopted.push({ responseId: String(reply[i]), fence: Number(reply[i + 1]) });
    }
    return adopted;
  }

  #mayAdoptFrom(index: string): boolean {
    const { heartbeat, leaseMs, time = systemTime } = this.#options;
    return time.now() - heartbeat.reachedSince(index) >= leaseMs;
  }

  async #listen(channel: string): Promise<void> {
    let subscribed = this.#channels.get(channel);
    if (subscribed === undefined) {
      subscribed = this.#options.subscriptions.listen(channel, {
        onMessage: (responseId) => this.#call(responseId),
        onGap: () => void this.#readCancels(channel).catch(() => undefined),
      });
      this.#channels.set(channel, subscribed);
      // The next watch subscribes again.
      subscribed.catch(() => this.#channels.delete(channel));
    }
    await subscribed;
  }

  #call(responseId: string): void {
    for (const watcher of this.#watchers.get(responseId) ?? []) watcher();
  }

  /** Reads the cancel flags of all watched responses of a bucket, because messages may be lost. */
  async #readCancels(channel: string): Promise<void> {
    const { keys, commands } = this.#options;
    const watched = [...this.#watchers.keys()].filter((responseId) => keys.turn(responseId).cancels === channel);
    await Promise.all(
      watched.map(async (responseId) => {
        if ((await commands.call('HGET', keys.turn(responseId).meta, 'cancel')) === '1') this.#call(responseId);
      }),
    );
  }
}
