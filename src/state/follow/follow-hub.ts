/*
 * Follow: a viewer receives the past events of a response, then its live events, each once and in
 * order, from any EventLog. All viewers of a response on this replica share one subscription and
 * one ring of its newest events. Knows no sockets.
 *
 * The hub subscribes first, reads the past second, and merges live events last. An event that was
 * seen already is dropped by its number. A gap is filled by reading the log. Silent responses are
 * polled once a second: losing the last message leaves no gap to detect. If the log has lost its
 * tail, viewers wait until its writer has written the same events again. If the log now holds
 * different events under the same numbers, its viewers saw events that no longer exist; they are
 * marked lost.
 */

import { every, systemTime, type Time } from '../../domain/time.js';
import { type EventLog } from '../event-log.js';
import { FollowedResponse, type FollowHooks } from './followed-response.js';
import { type Viewer } from './viewer.js';

export interface FollowOptions {
  readonly events: EventLog;
  /** Newest events held in the ring of each followed response. */
  readonly ringEvents?: number;
  /** Events read from the log in one page, for a viewer that is behind the ring. */
  readonly pageEvents?: number;
  /** Silence, in milliseconds, after which the tail of a log is polled. */
  readonly tailCheckMs?: number;
  readonly time?: Time;
  readonly hooks?: FollowHooks;
}

export class FollowHub {
  readonly #events: EventLog;
  readonly #ringEvents: number;
  readonly #pageEvents: number;
  readonly #tailCheckMs: number;
  readonly #time: Time;
  readonly #hooks: FollowHooks;
  readonly #followed = new Map<string, FollowedResponse>();
  #stopChecking: (() => void) | undefined;

  constructor(options: FollowOptions) {
    this.#events = options.events;
    this.#ringEvents = options.ringEvents ?? 512;
    this.#pageEvents = options.pageEvents ?? 256;
    this.#tailCheckMs = options.tailCheckMs ?? 1_000;
    this.#time = options.time ?? systemTime;
    this.#hooks = options.hooks ?? {};
  }

  /** Number of responses that are followed on this replica. */
  get size(): number {
    return this.#followed.size;
  }

  /**
   * Opens a viewer whose first event is number `after` + 1.
   * @param wake called synchronously, perhaps more often than needed, when `take` may return events
   * or `state` has changed
   * @returns the viewer, or undefined if the log does not exist
   * @throws SluiceError `state_unavailable`
   */
  async open(responseId: string, after: number, wake: () => void): Promise<Viewer | undefined> {
    const response = this.#usable(responseId) ?? this.#start(responseId, after);
    response.opening += 1;
    try {
      if (!(await response.ready)) return undefined;
      if (after > response.last) await response.catchUp();
      // Concurrent callers share one read. The first catchUp may have joined a read that started
      // before the event was appended; a viewer opened then would be at a number that the ring does
      // not know. A second catchUp starts after the append.
      if (after > response.last && !response.lost) await response.catchUp();
      if (response.lost) return undefined;
      return response.view(after, wake);
    } finally {
      response.opening -= 1;
      this.#dropUnused(response);
    }
  }

  /**
   * Reads the tail of every response that has been silent for `tailCheckMs`. Called by the hub's
   * own timer.
   */
  async tailCheck(): Promise<void> {
    const silentSince = this.#time.now() - this.#tailCheckMs * 0.9;
    const silent = [...this.#followed.values()].filter(
      (response) => !response.ended && response.receivedAt <= silentSince,
    );
    await Promise.all(silent.map((response) => response.checkTail()));
  }

  /** Ends all subscriptions. Viewers receive nothing more. */
  close(): void {
    this.#stopChecking?.();
    for (const response of this.#followed.values()) response.stop();
    this.#followed.clear();
  }

  /** Returns the followed response, or undefined if it is lost: a new viewer re-reads the log. */
  #usable(responseId: string): FollowedResponse | undefined {
    const response = this.#followed.get(responseId);
    if (response?.lost !== true) return response;
    response.stop();
    return undefined;
  }

  #start(responseId: string, after: number): FollowedResponse {
    const response = new FollowedResponse(
      {
        events: this.#events,
        responseId,
        ringEvents: this.#ringEvents,
        pageEvents: this.#pageEvents,
        time: this.#time,
        hooks: this.#hooks,
        unused: () => this.#dropUnused(response),
      },
      after,
    );
    this.#followed.set(responseId, response);
    this.#stopChecking ??= every(this.#time, this.#tailCheckMs, () => void this.tailCheck());
    return response;
  }

  #dropUnused(response: FollowedResponse): void {
    if (response.inUse || this.#followed.get(response.responseId) !== response) return;
    this.#followed.delete(response.responseId);
    response.stop();
  }
}
