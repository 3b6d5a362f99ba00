/*
 * Shares each round of the event loop among the connections whose frames wait, one after the other.
 * Bounds the frames of a round over all connections, so that many busy clients delay the deltas of
 * others no longer than one client does. A gateway has one instance.
 */

import { type Time } from '../domain/time.js';

/**
 * Most frames handled in one round, of all connections. A frame and its answer cost up to about 100
 * microseconds.
 */
const FRAMES_AT_ONCE = 32;
/**
 * Number of frames that a `response.create` counts as. Its turn runs up to the call of the provider
 * in the round of the frame, which takes about a millisecond. If many creates ran in one round, the
 * answers to all of them would be read after the last call, and every first delta would be late.
 */
const FRAMES_OF_A_TURN = 8;
/** Most characters of the frames handled in one round. */
const CHARACTERS_AT_ONCE = 65_536;

/** A connection whose frames wait. */
interface WaitingIntake {
  /** Handles frames while the round has room, and calls `wait` if frames are left. */
  handleWaiting(): void;
}

export class FrameRounds {
  readonly #time: Time;
  /** In order of arrival. */
  readonly #waiting = new Set<WaitingIntake>();
  #frames = 0;
  #characters = 0;
  #number = 0;
  #scheduled = false;
  /** Whether connections that waited are being served. */
  #serving = false;

  constructor(time: Time) {
    this.#time = time;
  }

  /**
   * Whether another frame may be handled in this round. A frame that arrives while others wait is
   * handled after those.
   */
  get open(): boolean {
    const hasRoom = this.#frames < FRAMES_AT_ONCE && this.#characters < CHARACTERS_AT_ONCE;
    return hasRoom && (this.#serving || this.#waiting.size === 0);
  }

  /** Changes with each round in which frames are counted. */
  get number(): number {
    return this.#number;
  }

  /** Counts a frame that is being handled. */
  count(characters: number): void {
    this.#frames += 1;
    this.#characters += characters;
    this.#schedule();
  }

  /** Counts the turn that the frame being handled starts. */
  countTurn(): void {
    this.#frames += FRAMES_OF_A_TURN - 1;
  }

  /** Calls `intake` in a later round, after those that wait already. */
  wait(intake: WaitingIntake): void {
    this.#waiting.add(intake);
    this.#schedule();
  }

  /** Removes an intake that waits. */
  delete(intake: WaitingIntake): void {
    this.#waiting.delete(intake);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#time.soon(() => this.#next());
  }

  #next(): void {
    this.#scheduled = false;
    this.#number += 1;
    this.#frames = 0;
    this.#characters = 0;
    this.#serving = true;
    for (const intake of [...this.#waiting]) {
      if (!this.open) break;
      this.#waiting.delete(intake);
      intake.handleWaiting();
    }
    this.#serving = false;
    if (this.#waiting.size > 0) this.#schedule();
  }
}
