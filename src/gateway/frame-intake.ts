/*
 * The frames of one connection, handled in order. Bounds what a client can have in progress: while
 * too many operations are unanswered, the socket is full, or a frame must be finished before the
 * next, arrived frames wait and nothing more is read from the socket.
 */

import { type FrameRounds } from './frame-rounds.js';

export interface FrameIntakeOptions {
  /** Whether frames are accepted. Called for each frame that arrives. */
  readonly accepts: () => boolean;
  /** Drops a frame that arrived after the close was sent. */
  readonly drop: () => void;
  /** Handles one frame. Never throws. */
  readonly handle: (text: string) => void;
  /** Stops and resumes reading from the socket. */
  readonly setReading: (reading: boolean) => void;
  /** Operations that may be in progress at once. */
  readonly maxOperations: number;
  /** Shared by all connections. */
  readonly rounds: FrameRounds;
}

/**
 * Most frames of one connection that are handled in one round of the event loop. Other connections
 * are served after them.
 */
const FRAMES_AT_ONCE = 16;

export class FrameIntake {
  readonly #options: FrameIntakeOptions;
  /**
   * Frames that wait, from index `#next` on. Bounded, because a paused socket delivers only what it
   * has read already.
   */
  #waiting: string[] = [];
  #next = 0;
  #operations = 0;
  /** Operations that must end before the next frame is handled. */
  #exclusive = 0;
  #full = false;
  /** Frames handled in round `#round`. */
  #frames = 0;
  #round = 0;
  #reading = true;
  #closed = false;

  constructor(options: FrameIntakeOptions) {
    this.#options = options;
  }

  /** Handles a text frame now, or after those that wait. Drops it after the close was sent. */
  receive(data: Buffer | string): void {
    if (!this.#options.accepts()) {
      this.#options.drop();
      return;
    }
    if (this.#closed) return;
    const text = data.toString();
    if (this.#next < this.#waiting.length || !this.#mayHandle()) {
      this.#waiting.push(text);
      this.#setReading(false);
      if (!this.#blocked) this.#options.rounds.wait(this);
      return;
    }
    this.#handle(text);
    this.#setReading(!this.#blocked);
  }

  /** Counts an operation until `work` settles. */
  during(work: Promise<unknown>): void {
    this.#operations += 1;
    const done = (): void => {
      this.#operations -= 1;
      this.#unblocked();
    };
    work.then(done, done);
  }

  /** Counts an operation until `work` settles. The next frame waits for it. */
  alone(work: Promise<unknown>): void {
    this.#exclusive += 1;
    const done = (): void => {
      this.#exclusive -= 1;
      this.#unblocked();
    };
    work.then(done, done);
  }

  /**
   * Sets whether the socket is full. While it is, frames wait and nothing more is read.
   * @param full whether answers have no room in the socket
   */
  setFull(full: boolean): void {
    this.#full = full;
    if (full) this.#setReading(false);
    else this.#unblocked();
  }

  /** Drops the frames that wait. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.#next = 0;
    this.#options.rounds.delete(this);
  }

  /** Handles waiting frames: this connection's share of a round. Called by `FrameRounds`. */
  handleWaiting(): void {
    while (!this.#closed && this.#mayHandle()) {
      const text = this.#waiting[this.#next];
      if (text === undefined) break;
      this.#next += 1;
      this.#handle(text);
    }
    if (this.#next >= this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
      this.#setReading(!this.#blocked);
    } else if (!this.#blocked) {
      this.#options.rounds.wait(this);
    }
  }

  /** Whether no frame may be handled until an operation settles or the socket drains. */
  get #blocked(): boolean {
    return this.#full || this.#exclusive > 0 || this.#operations >= this.#options.maxOperations;
  }

  #mayHandle(): boolean {
    const { rounds } = this.#options;
    if (this.#round !== rounds.number) {
      this.#round = rounds.number;
      this.#frames = 0;
    }
    return !this.#blocked && this.#frames < FRAMES_AT_ONCE && rounds.open;
  }

  #handle(text: string): void {
    const { rounds, handle } = this.#options;
    this.#frames += 1;
    rounds.count(text.length);
    handle(text);
  }

  #unblocked(): void {
    if (this.#blocked || this.#closed) return;
    if (this.#next < this.#waiting.length) this.#options.rounds.wait(this);
    else this.#setReading(true);
  }

  #setReading(reading: boolean): void {
    if (reading === this.#reading || this.#closed) return;
    this.#reading = reading;
    this.#options.setReading(reading);
  }
}
