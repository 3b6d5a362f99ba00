/*
 * Sums the counters of replicas over their lives: the counters of a replica are read before it
 * ends.
 */

import { type Replica } from '../../scripts/development/cluster/replica.js';

export class Counters {
  readonly #sums = new Map<string, number>();
  /** What each present life had counted when last asked. */
  readonly #before = new Map<Replica, ReadonlyMap<string, number>>();

  /** Takes what a replica has counted; call it before each end, and at the last. */
  async end(replica: Replica): Promise<void> {
    const now = await replica.metrics();
    const before = this.#before.get(replica) ?? new Map<string, number>();
    for (const [series, value] of now) {
      // A new life counts from 0.
      const known = before.get(series) ?? 0;
      this.#sums.set(series, (this.#sums.get(series) ?? 0) + (value >= known ? value - known : value));
    }
    this.#before.set(replica, now);
  }

  of(series: string): number {
    return this.#sums.get(series) ?? 0;
  }

  /** `replay 12, snapshot 3`: a counter's values by label. */
  byLabel(name: string): string {
    const series = [...this.#sums].filter(([key, value]) => key.startsWith(`${name}{`) && value > 0);
    return series.map(([key, value]) => `${/"(.*)"/u.exec(key)?.[1]} ${value}`).join(', ') || 'none';
  }
}
