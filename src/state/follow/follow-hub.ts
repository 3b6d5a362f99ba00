/*
 * Follow: past events, then live ones, each once and in order, over whatever EventLog there is. One subscription and one ring a
 * response on this replica, shared by its viewers; a viewer is a cursor, never a queue. Knows nothing of sockets.
 *
 * Subscribe first, then read, then live; what was seen is dropped by its number, a gap is read from the log, and a silent response
 * is looked at once a second, since a lost last message announces itself by nothing. A log that lost its tail is waited for: its writer writes
 * it again, the same. Where it says something else instead, its viewers have seen what is no longer so, and are lost.
 */

import { every, systemTime, type Time } from '../../domain/time.js';
import { type EventLog } from '../event-log.js';
import { FollowedResponse, type FollowHooks } from './followed-response.js';
import { type Viewer } from './viewer.js';

export interface FollowOptions {
  readonly log: EventLog;
  /** Events kept at hand for each followed response. */
  readonly ringEvents?: number;
  /** Events read from the log at once for a viewer that is behind the ring. */
  readonly pageEvents?: number;
  /** Longest silence, in milliseconds, after which the log's end is looked at. */
  readonly tailCheckMs?: number;
  readonly time?: Time;
  readonly hooks?: FollowHooks;
}

export class FollowHub {
  readonly #log: EventLog;
  readonly #ringEvents: number;
  readonly #pageEvents: number;
  readonly #tailCheckMs: number;
  readonly #time: Time;
  readonly #hooks: FollowHooks;
  readonly #followed = new Map<string, FollowedResponse>();
  #stopChecking: (() => void) | undefined;

  constructor(options: FollowOptions) {
    this.#log = options.log;
    this.#ringEvents = options.ringEvents ?? 512;
    this.#pageEvents = options.pageEvents ?? 256;
    this.#tailCheckMs = options.tailCheckMs ?? 1_000;
    this.#time = options.time ?? systemTime;
    this.#hooks = options.hooks ?? {};
  }

  /** Responses that are followed here now. */
  get size(): number {
    return this.#followed.size;
  }

  /**
   * Opens a viewer whose first event is number `after` + 1. `wake` is called, synchronously and perhaps more often than needed,
   * when `take` may have something or `state` has changed. Undefined: there is no such log (any more).
   */
  async open(responseId: string, after: number, wake: () => void): Promise<Viewer | undefined> {
    const response = this.#usable(responseId) ?? this.#start(responseId, after);
    response.opening += 1;
    try {
      if (!(await response.ready)) return undefined;
      if (after > response.last) await response.catchUp();
      // That may have been a read which was under way before the event was there.
      if (after > response.last && !response.lost) await response.catchUp();
      if (response.lost) return undefined;
      return response.view(after, wake);
    } finally {
      response.opening -= 1;
      this.#dropUnused(response);
    }
  }

  /** Looks at the end of every response that has been silent for the tail check's time. Called by the hub's own timer. */
  async tailCheck(): Promise<void> {
    const silentSince = this.#time.now() - this.#tailCheckMs * 0.9;
    const silent = [...this.#followed.values()].filter(
      (response) => !response.ended && response.heardAt <= silentSince,
    );
    await Promise.all(silent.map((response) => response.checkTail()));
  }

  /** Ends all subscriptions; viewers get nothing more. */
  close(): void {
    this.#stopChecking?.();
    for (const response of this.#followed.values()) response.stop();
    this.#followed.clear();
  }

  /** One that is lost to its viewers says nothing of what a new one would find. */
  #usable(responseId: string): FollowedResponse | undefined {
    const response = this.#followed.get(responseId);
    if (response?.lost !== true) return response;
    response.stop();
    return undefined;
  }

  #start(responseId: string, after: number): FollowedResponse {
    const response = new FollowedResponse(
      {
        log: this.#log,
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
