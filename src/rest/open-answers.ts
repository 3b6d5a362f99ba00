/*
 * The answers of this replica that are not complete, from the head of a request to the last byte handed to the network. A drain waits for
 * them, and ends what is still being read when its time is over. Knows nothing of turns and streams.
 */

import { type ServerResponse } from 'node:http';

import { type SluiceError } from '../domain/errors.js';

/** What a stream must know of its end from outside. */
export interface Interruption {
  /** Why streams are to end now; undefined: they are not. */
  readonly reason: SluiceError | undefined;
  /** Calls `work` when streams are to end. Returns a function that cancels the call. */
  onInterrupt(work: () => void): () => void;
}

export class OpenAnswers implements Interruption {
  readonly #open = new Set<ServerResponse>();
  readonly #listeners = new Set<() => void>();
  #waiting: (() => void)[] = [];
  #reason: SluiceError | undefined;

  get size(): number {
    return this.#open.size;
  }

  get reason(): SluiceError | undefined {
    return this.#reason;
  }

  /** Counts an answer until its connection has taken it or is closed. */
  watch(answer: ServerResponse): void {
    if (answer.destroyed) return;
    this.#open.add(answer);
    answer.once('close', () => {
      this.#open.delete(answer);
      if (this.#open.size === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /** Resolves when no answer is open. */
  whenClosed(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  onInterrupt(work: () => void): () => void {
    this.#listeners.add(work);
    return () => void this.#listeners.delete(work);
  }

  /** Ends the streams that are open, and those that begin later, with `reason`. Only the first call counts. */
  interrupt(reason: SluiceError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const work of [...this.#listeners]) work();
  }
}
