/*
 * Followers of responses that this very replica writes. They are given each append when Redis has confirmed it, without the way through a
 * message: nobody else can write to the log meanwhile, that is what the lease is for. When the right to write is gone or in doubt, they
 * are moved over to messages. Knows no Redis.
 */

import { type LoggedEvent } from '../../../domain/event.js';

export interface LocalFollower {
  readonly onEvents: (events: readonly LoggedEvent[]) => void;
  /** This replica is no longer sure to be the writer: listen to messages from now on, and look at what was missed. */
  readonly onMove: () => void;
}

interface OwnTurn {
  /** When Redis last said that this replica holds the lease, by `performance.now()`. */
  confirmedAtMs: number;
  readonly followers: Set<LocalFollower>;
}

export class LocalFollowers {
  readonly #turns = new Map<string, OwnTurn>();
  readonly #sureForMs: number;
  readonly #timer: NodeJS.Timeout;

  /** `leaseMs`: how long a lease lasts; well before its end, without a renewal, the followers are moved. */
  constructor(leaseMs: number) {
    this.#sureForMs = leaseMs * 0.6;
    this.#timer = setInterval(() => this.#moveDoubtful(), leaseMs / 8).unref();
  }

  /** Redis has confirmed that this replica holds the lease now. */
  confirm(responseId: string): void {
    const turn = this.#turns.get(responseId);
    if (turn === undefined) this.#turns.set(responseId, { confirmedAtMs: performance.now(), followers: new Set() });
    else turn.confirmedAtMs = performance.now();
  }

  /** Adds a follower; undefined where this replica is not sure to be the writer. */
  add(responseId: string, follower: LocalFollower): (() => void) | undefined {
    const turn = this.#turns.get(responseId);
    if (turn === undefined || this.#isDoubtful(turn)) return undefined;
    turn.followers.add(follower);
    return () => void turn.followers.delete(follower);
  }

  /** Tells the followers of events that the log holds. */
  deliver(responseId: string, events: readonly LoggedEvent[]): void {
    for (const { onEvents } of this.#turns.get(responseId)?.followers ?? []) onEvents(events);
  }

  /** The terminal event was delivered: there is nothing more to hear. */
  end(responseId: string): void {
    this.#turns.delete(responseId);
  }

  /** The right to write is gone. */
  lose(responseId: string): void {
    const turn = this.#turns.get(responseId);
    this.#turns.delete(responseId);
    for (const { onMove } of turn?.followers ?? []) onMove();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#turns.clear();
  }

  #moveDoubtful(): void {
    for (const [responseId, turn] of this.#turns) if (this.#isDoubtful(turn)) this.lose(responseId);
  }

  #isDoubtful(turn: OwnTurn): boolean {
    return performance.now() - turn.confirmedAtMs > this.#sureForMs;
  }
}
