/*
 * Leases in Redis, by Redis' own time. Orphans are found in sixteen indexes; a sweeper that did not reach a server waits one lease after it
 * does again, since the owners of what has run out there may be alive and coming back.
 */

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
}

export class RedisTurnLease extends TurnLease {
  readonly #options: RedisTurnLeaseOptions;
  readonly #watchers = new Map<string, Set<() => void>>();
  /** One channel a bucket, listened to from the first watch on: a subscription a turn would cost more. */
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
    // Where the channel cannot be heard, the turn still learns of a cancel by its next append or renewal.
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
      // A server that is away keeps its orphans; it must not keep those of the others.
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
    const { heartbeat, leaseMs } = this.#options;
    return performance.now() - heartbeat.reachedSince(index) >= leaseMs;
  }

  async #listen(channel: string): Promise<void> {
    let standing = this.#channels.get(channel);
    if (standing === undefined) {
      standing = this.#options.subscriptions.listen(channel, {
        onMessage: (responseId) => this.#call(responseId),
        onGap: () => void this.#askAll(channel).catch(() => undefined),
      });
      this.#channels.set(channel, standing);
      // Asked for anew by the next watch.
      standing.catch(() => this.#channels.delete(channel));
    }
    await standing;
  }

  #call(responseId: string): void {
    for (const watcher of this.#watchers.get(responseId) ?? []) watcher();
  }

  /** Asks after a gap, whether a cancel was told meanwhile. */
  async #askAll(channel: string): Promise<void> {
    const { keys, commands } = this.#options;
    const watched = [...this.#watchers.keys()].filter((responseId) => keys.turn(responseId).cancels === channel);
    await Promise.all(
      watched.map(async (responseId) => {
        if ((await commands.call('HGET', keys.turn(responseId).meta, 'cancel')) === '1') this.#call(responseId);
      }),
    );
  }
}
