/*
 * Packs the logs of ended answers that this replica wrote, a while after their end, when clients
 * that resume at once have done so. Best effort: a log that is not packed expires as it is. Packs
 * nothing while a replica of a version that cannot read packed logs shares the Redis.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { bucketOf, type RedisKeys } from '../redis-keys.js';
import { type Argument, type RedisCommands } from '../connection/redis-commands.js';
import { type Scripts } from '../scripts.js';
import { PLACES } from '../encryption/sealed-text.js';
import { type Vault } from '../encryption/vault.js';
import { isBlock, packEvents } from './packed-log.js';

export interface LogPackerOptions {
  /** A connection on which a large read delays no append. */
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  /** Whether the logs of one command must be in one bucket (Cluster). */
  readonly sharded: boolean;
  readonly vault: Vault;
  /** Time from the end of a log until it is packed, in milliseconds. */
  readonly afterMs: number;
  readonly time?: Time;
}

/** Logs that wait to be packed; the oldest are left as they are beyond it. */
const WAITING_MAX = 10_000;
const EVERY_MS = 1_000;
const PAGE = 500;
/** Logs up to this many events are read and packed together, so many in a command. */
const SHORT_EVENTS = 64;
const LOGS_AT_ONCE = 16;
/** End of the names of replicas that read packed logs, in the list of replicas. */
const READS_PACKED = '.z';

/** Returns the name under which a replica of this version sends its heartbeat. */
export function replicaName(id: string): string {
  return `${id}${READS_PACKED}`;
}

export class LogPacker {
  readonly #options: LogPackerOptions;
  readonly #time: Time;
  /** Responses by the time at which they are packed, oldest first. */
  readonly #waiting = new Map<string, number>();
  #stop: (() => void) | undefined;
  #packing = false;

  constructor(options: LogPackerOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  /** Takes the log of a response that has ended. */
  add(responseId: string): void {
    this.#waiting.set(responseId, this.#time.now() + this.#options.afterMs);
    if (this.#waiting.size > WAITING_MAX) this.#waiting.delete(this.#waiting.keys().next().value ?? '');
    this.#schedule();
  }

  close(): void {
    this.#waiting.clear();
    this.#stop?.();
    this.#stop = undefined;
  }

  #schedule(): void {
    if (this.#stop !== undefined || this.#packing || this.#waiting.size === 0) return;
    this.#stop = this.#time.after(Math.min(EVERY_MS, this.#options.afterMs), () => {
      this.#stop = undefined;
      this.#packing = true;
      void this.#packDue()
        .catch(() => undefined)
        .finally(() => {
          this.#packing = false;
          this.#schedule();
        });
    });
  }

  async #packDue(): Promise<void> {
    const now = this.#time.now();
    const due = [...this.#waiting].filter(([, at]) => at <= now).map(([responseId]) => responseId);
    if (due.length === 0) return;
    for (const responseId of due) this.#waiting.delete(responseId);
    if (!(await this.#allReadPacked())) return;
    for (const some of this.#batches(due)) await this.#packSome(some).catch(() => undefined);
  }

  #batches(due: readonly string[]): readonly (readonly string[])[] {
    const { sharded } = this.#options;
    const groups = Map.groupBy(due, (responseId) => (sharded ? bucketOf(responseId) : 0));
    return [...groups.values()].flatMap((group) =>
      Array.from({ length: Math.ceil(group.length / LOGS_AT_ONCE) }, (_, i) =>
        group.slice(i * LOGS_AT_ONCE, (i + 1) * LOGS_AT_ONCE),
      ),
    );
  }

  async #allReadPacked(): Promise<boolean> {
    const { commands, keys } = this.#options;
    const names = (await commands.call('ZRANGE', keys.replicas, 0, -1)) as readonly string[];
    return names.length > 0 && names.every((name) => name.endsWith(READS_PACKED));
  }

  /** Packs some logs with two commands; those that are not short one by one. */
  async #packSome(responseIds: readonly string[]): Promise<void> {
    const { commands, scripts } = this.#options;
    const reply = await commands.run(scripts.get('read-ended'), this.#namesOf(responseIds), [SHORT_EVENTS]);
    // read-ended.lua: the events of each log, or null.
    const logs = reply as readonly (readonly string[] | null)[];
    const short = new Map<string, readonly string[]>();
    const others: string[] = [];
    for (const [i, responseId] of responseIds.entries()) {
      const events = logs[i];
      if (events) short.set(responseId, events);
      else others.push(responseId);
    }
    if (short.size > 0) await this.#replace(short);
    for (const responseId of others) await this.#packLong(responseId);
  }

  async #packLong(responseId: string): Promise<void> {
    const { commands, scripts } = this.#options;
    const events: string[] = [];
    for (;;) {
      const cursor = [events.length - 1, PAGE, 0];
      const page = await commands.run(scripts.get('read'), this.#namesOf([responseId]), cursor);
      if (!Array.isArray(page) || page[1] !== '1') return;
      const [next, , , ...more] = page as readonly string[];
      if (more[0] === undefined || isBlock(more[0])) return;
      events.push(...more);
      if (events.length < Number(next)) continue;
      await this.#replace(new Map([[responseId, events]]));
      return;
    }
  }

  /** Replaces whole logs by their blocks. @param logs events by response, as Redis holds them */
  async #replace(logs: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const { commands, scripts } = this.#options;
    const packed: string[] = [];
    const args: Argument[] = [];
    for (const [responseId, entries] of logs) {
      const blocks = await this.#blocksOf(responseId, entries).catch(() => undefined);
      if (blocks === undefined) continue;
      packed.push(responseId);
      args.push(entries.length, blocks.length, ...blocks);
    }
    if (packed.length > 0) await commands.run(scripts.get('pack'), this.#namesOf(packed), args);
  }

  /**
   * Returns the blocks of a log, encrypted if its events are.
   * @returns undefined if its data key was erased
   * @throws like Vault.open
   */
  async #blocksOf(responseId: string, entries: readonly string[]): Promise<readonly string[] | undefined> {
    const { vault } = this.#options;
    const events: string[] = [];
    for (const [sequence, entry] of entries.entries()) {
      const json = await vault.open(PLACES.event(responseId, sequence), entry);
      if (json === undefined) return undefined;
      events.push(json);
    }
    const sealer = await vault.sealerOf(entries.at(-1) ?? '');
    return sealer === undefined ? undefined : packEvents(responseId, events, sealer);
  }

  /** Returns meta and log of each response, in turn. */
  #namesOf(responseIds: readonly string[]): string[] {
    return responseIds.flatMap((responseId) => {
      const { meta, log } = this.#options.keys.turn(responseId);
      return [meta, log];
    });
  }
}
