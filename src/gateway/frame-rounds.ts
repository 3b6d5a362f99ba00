/*
 * Shares each round of the event loop among the connections that have frames to handle, in turn.
 * Bounds the frames of a round over all connections, so that many busy clients delay the deltas of
 * others no longer than one client does. A gateway has one instance.
 */

import { type Time } from '../domain/time.js';

/**
 * Frames and characters handled in one round. A frame costs up to about 100 microseconds, its
 * answer included.
 */
const FRAMES_AT_ONCE = 32;
/**
 * Frames that a request for a response counts for. Its turn runs up to the provider's request in
 * the round of the frame, about a millisecond. Many requests at once would do that all before the
 * first of their answers is read, and every first delta would wait for the last request.
 */
const FRAMES_OF_A_TURN = 16;
const CHARACTERS_AT_ONCE = 65_536;

/** A connection whose frames wait. */
interface WaitingIntake {
  /** Handles frames while the round has room, and calls `wait` again if it may have more. */
  drain(): void;
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
   * Whether another frame may be handled in this round. Frames that arrive while others wait, wait
   * too.
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

  /** Drains `intake` in a later round, after those that wait already. */
  wait(intake: WaitingIntake): void {
    this.#waiting.add(intake);
    this.#schedule();
  }

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
      intake.drain();
    }
    this.#serving = false;
    if (this.#waiting.size > 0) this.#schedule();
  }
}
