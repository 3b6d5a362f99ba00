/*
 * The frames of one connection, handled in order. Bounds what a client can have in progress: while too many operations are unanswered, the
 * socket is full, or a frame must be finished before the next, arrived frames wait and nothing more is read from the socket.
 */

import { type Time } from '../domain/time.js';

export interface FrameIntakeOptions {
  /** Handles one frame. Never throws. */
  readonly handle: (text: string) => void;
  /** Stops and resumes reading from the socket. */
  readonly setReading: (reading: boolean) => void;
  /** Operations that may be in progress at once. */
  readonly maxOperations: number;
  readonly time: Time;
}

/** Frames and characters handled in one round of the event loop, so that other connections get their turn. */
const FRAMES_AT_ONCE = 64;
const CHARACTERS_AT_ONCE = 65_536;

export class FrameIntake {
  readonly #options: FrameIntakeOptions;
  /** Arrived frames that wait, from `#next` on. Bounded by what the socket delivers after it was paused. */
  #waiting: string[] = [];
  #next = 0;
  #operations = 0;
  /** Operations that must end before the next frame is handled. */
  #exclusive = 0;
  #full = false;
  #frames = 0;
  #characters = 0;
  #roundScheduled = false;
  #reading = true;
  #closed = false;

  constructor(options: FrameIntakeOptions) {
    this.#options = options;
  }

  /** Handles a frame now, or after those that wait. */
  receive(text: string): void {
    if (this.#closed) return;
    if (this.#next < this.#waiting.length || !this.#mayHandle()) {
      this.#waiting.push(text);
      this.#setReading(false);
      return;
    }
    this.#handle(text);
    this.#setReading(this.#mayHandle());
  }

  /** Counts an operation until `work` settles. */
  during(work: Promise<unknown>): void {
    this.#operations += 1;
    const done = (): void => {
      this.#operations -= 1;
      this.#drain();
    };
    work.then(done, done);
  }

  /** The same, and the next frame waits for it. */
  alone(work: Promise<unknown>): void {
    this.#exclusive += 1;
    const done = (): void => {
      this.#exclusive -= 1;
      this.#drain();
    };
    work.then(done, done);
  }

  /** @param full whether answers have no room in the socket */
  setFull(full: boolean): void {
    this.#full = full;
    if (full) this.#setReading(false);
    else this.#drain();
  }

  /** Drops the frames that wait. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.#next = 0;
  }

  #mayHandle(): boolean {
    return (
      !this.#full &&
      this.#exclusive === 0 &&
      this.#operations < this.#options.maxOperations &&
      this.#frames < FRAMES_AT_ONCE &&
      this.#characters < CHARACTERS_AT_ONCE
    );
  }

  #handle(text: string): void {
    this.#frames += 1;
    this.#characters += text.length;
    this.#scheduleRound();
    this.#options.handle(text);
  }

  /** Renews the share of one round. */
  #scheduleRound(): void {
    if (this.#roundScheduled) return;
    this.#roundScheduled = true;
    this.#options.time.soon(() => {
      this.#roundScheduled = false;
      this.#frames = 0;
      this.#characters = 0;
      this.#drain();
    });
  }

  #drain(): void {
    while (!this.#closed && this.#mayHandle()) {
      const text = this.#waiting[this.#next];
      if (text === undefined) break;
      this.#next += 1;
      this.#handle(text);
    }
    if (this.#next >= this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    }
    this.#setReading(this.#waiting.length === 0 && this.#mayHandle());
  }

  #setReading(reading: boolean): void {
    if (reading === this.#reading || this.#closed) return;
    this.#reading = reading;
    this.#options.setReading(reading);
  }
}
