/*
 * Packs the logs of ended answers that this replica wrote, a while after their end, when clients
 * that resume at once have done so. Best effort: a log that is not packed expires as it is. Packs
 * nothing while a replica of a version that cannot read packed logs shares the Redis.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { type RedisKeys } from '../redis-keys.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type Scripts } from '../scripts.js';
import { isBlock, packEvents } from './packed-log.js';

export interface LogPackerOptions {
  /** A connection on which a large read delays no append. */
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  /** Time from the end of a log until it is packed, in milliseconds. */
  readonly afterMs: number;
  readonly time?: Time;
}

/** Logs that wait to be packed; the oldest are left as they are beyond it. */
const WAITING_MAX = 10_000;
const EVERY_MS = 1_000;
const PAGE = 500;
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
    for (const responseId of due) await this.#pack(responseId);
  }

  async #allReadPacked(): Promise<boolean> {
    const { commands, keys } = this.#options;
    const names = (await commands.call('ZRANGE', keys.replicas, 0, -1)) as readonly string[];
    return names.length > 0 && names.every((name) => name.endsWith(READS_PACKED));
  }

  async #pack(responseId: string): Promise<void> {
    const { commands, keys, scripts } = this.#options;
    const { meta, log } = keys.turn(responseId);
    const events: string[] = [];
    for (;;) {
      const page = await commands.run(scripts.get('read'), [meta, log], [events.length - 1, PAGE, 0]);
      if (!Array.isArray(page) || page[1] !== '1') return;
      const [next, , , ...more] = page as readonly string[];
      if (more[0] === undefined || isBlock(more[0])) return;
      events.push(...more);
      if (events.length < Number(next)) continue;
      await commands.run(scripts.get('pack'), [meta, log], [Number(next), ...(await packEvents(events))]);
      return;
    }
  }
}
