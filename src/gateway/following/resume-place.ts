/*
 * The place of resumes in a lane: what is created there afterwards waits until the resumed response
 * has ended, or the resumes were refused. All resumes of one response into one lane share a place,
 * so that a client that repeats them does not fill the lane.
 */

import { type SluiceError } from '../../domain/errors.js';
import { type Lane } from '../lanes/lane.js';
import { type ConnectionTask } from '../lanes/lanes.js';

export interface ErrorsInPlace {
  /** Sends an error of this lane now. */
  readonly send: (error: SluiceError) => void;
  /** Counts an error that waits for its place. */
  readonly later: (send: () => void) => () => void;
}

export class ResumePlace implements ConnectionTask {
  readonly creates = false;
  readonly #responseId: string;
  readonly #sending: ErrorsInPlace;
  readonly #lane: Lane<ConnectionTask>;
  readonly #left = Promise.withResolvers<void>();
  readonly #errors: (() => void)[] = [];
  #atHead = false;
  /** Resumes into this lane that are not answered yet. */
  #pending = 0;
  /** Whether the response is followed in this lane. */
  #holds = false;
  #over = false;

  constructor(responseId: string, lane: Lane<ConnectionTask>, sending: ErrorsInPlace) {
    this.#responseId = responseId;
    this.#lane = lane;
    this.#sending = sending;
    lane.push(this);
  }

  /** Whether the place has ended. A later resume needs a new place. */
  get over(): boolean {
    return this.#over;
  }

  get responseId(): string | undefined {
    return this.#over ? undefined : this.#responseId;
  }

  begin(): void {
    this.#pending += 1;
  }

  settle(): void {
    this.#pending -= 1;
    this.#leaveIfOver();
  }

  set holds(holds: boolean) {
    this.#holds = holds;
    this.#leaveIfOver();
  }

  /** Sends an error in the lane's order. */
  refuse(error: SluiceError): void {
    const { send, later } = this.#sending;
    if (this.#atHead) send(error);
    else this.#errors.push(later(() => send(error)));
  }

  async run(): Promise<void> {
    this.#atHead = true;
    for (const send of this.#errors) send();
    await this.#left.promise;
  }

  cancel(): void {
    return;
  }

  abandon(): void {
    return;
  }

  #leaveIfOver(): void {
    if (this.#pending > 0 || this.#holds || this.#over) return;
    this.#over = true;
    this.#left.resolve();
    // A place with errors stays in the lane until it is at the head, and sends them there.
    if (!this.#atHead && this.#errors.length === 0) this.#lane.remove(this);
  }
}
