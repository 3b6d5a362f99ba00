/*
 * Followers of responses that this replica writes. They receive each append when Redis has
 * confirmed it, without a message. That is safe while this replica holds the lease, since no other
 * replica can write to the log. If the lease is lost or in doubt, the followers are moved to
 * messages. Knows no Redis.
 */

import { type LoggedEvent } from '../../../domain/event.js';
import { every, systemTime, type Time } from '../../../domain/time.js';

export interface LocalFollower {
  readonly onEvents: (events: readonly LoggedEvent[]) => void;
  /**
   * Called when this replica may no longer be the writer. Subscribe to messages, then read the
   * events in between.
   */
  readonly onMove: () => void;
}

interface OwnTurn {
  /** When Redis last confirmed that this replica holds the lease, by `Time.now()`. */
  confirmedAtMs: number;
  readonly followers: Set<LocalFollower>;
}

export class LocalFollowers {
  readonly #turns = new Map<string, OwnTurn>();
  readonly #sureForMs: number;
  readonly #time: Time;
  readonly #stopChecking: () => void;

  /**
   * @param leaseMs duration of a lease in milliseconds; followers are moved when 60 % of it have
   * passed without a renewal
   */
  constructor(leaseMs: number, time: Time = systemTime) {
    this.#time = time;
    this.#sureForMs = leaseMs * 0.6;
    this.#stopChecking = every(time, leaseMs / 8, () => this.#moveDoubtful());
  }

  /** Notes that Redis has confirmed the lease of this replica. */
  confirm(responseId: string): void {
    const turn = this.#turns.get(responseId);
    if (turn === undefined) this.#turns.set(responseId, { confirmedAtMs: this.#time.now(), followers: new Set() });
    else turn.confirmedAtMs = this.#time.now();
  }

  /**
   * @returns a function that removes the follower, or undefined if this replica may not be the
   * writer
   */
  add(responseId: string, follower: LocalFollower): (() => void) | undefined {
    const turn = this.#turns.get(responseId);
    if (turn === undefined || this.#isDoubtful(turn)) return undefined;
    turn.followers.add(follower);
    return () => void turn.followers.delete(follower);
  }

  /** Delivers events that the log holds to the followers. */
  deliver(responseId: string, events: readonly LoggedEvent[]): void {
    for (const { onEvents } of this.#turns.get(responseId)?.followers ?? []) onEvents(events);
  }

  /** Drops the followers after the terminal event. */
  end(responseId: string): void {
    this.#turns.delete(responseId);
  }

  /** Moves the followers to messages: the lease is lost. */
  lose(responseId: string): void {
    const turn = this.#turns.get(responseId);
    this.#turns.delete(responseId);
    for (const { onMove } of turn?.followers ?? []) onMove();
  }

  close(): void {
    this.#stopChecking();
    this.#turns.clear();
  }

  #moveDoubtful(): void {
    for (const [responseId, turn] of this.#turns) if (this.#isDoubtful(turn)) this.lose(responseId);
  }

  #isDoubtful(turn: OwnTurn): boolean {
    return this.#time.now() - turn.confirmedAtMs > this.#sureForMs;
  }
}
