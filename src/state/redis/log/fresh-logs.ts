/*
 * The logs that this replica has just created. Their first viewer, that of the caller, reads what
 * this replica wrote itself, so it is answered without Redis: once, and within a second.
 */

import { type Time } from '../../../domain/time.js';
import { type LogHead, type LogPage } from '../../event-log.js';
import { type WrittenTails } from './written-tails.js';

export interface FreshLogsOptions {
  readonly tails: Pick<WrittenTails, 'whole'>;
  readonly time: Time;
}

/** How long a log is fresh, in milliseconds. Much shorter than a lease. */
const FRESH_MS = 1_000;
const FRESH_MAX = 1_000;

export class FreshLogs {
  readonly #options: FreshLogsOptions;
  readonly #created = new Map<string, { readonly head: LogHead; readonly at: number }>();

  constructor(options: FreshLogsOptions) {
    this.#options = options;
  }

  add(head: LogHead): void {
    if (this.#created.size >= FRESH_MAX) this.#created.clear();
    this.#created.set(head.responseId, { head, at: this.#options.time.now() });
  }

  /**
   * Returns the first page of a fresh log, once. Events that this replica appends later reach the
   * viewer as live ones.
   * @returns undefined if the log is not fresh, or this replica no longer writes it
   */
  take(responseId: string, limit: number): LogPage | undefined {
    const { tails, time } = this.#options;
    const created = this.#created.get(responseId);
    if (created === undefined) return undefined;
    this.#created.delete(responseId);
    const events = time.now() - created.at < FRESH_MS ? tails.whole(responseId) : undefined;
    if (events === undefined) return undefined;
    return { head: created.head, events: events.slice(0, limit), last: events.length - 1, ended: false };
  }
}
