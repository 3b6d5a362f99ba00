/*
 * Tracks the incomplete answers of this replica, from the head of a request to the last byte handed
 * to the network. A drain waits for them, and ends the remaining streams when its time is over.
 * Knows nothing of turns and streams.
 */

import { type ServerResponse } from 'node:http';

import { type SluiceError } from '../domain/errors.js';

/** Notifies a stream that it must end early. */
export interface Interruption {
  /** Why streams must end now, or undefined if they may continue. */
  readonly reason: SluiceError | undefined;
  /** Calls `work` when streams must end. @returns a function that cancels the call */
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

  /** Counts an answer until it is fully sent or its connection is closed. */
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

  /** Ends all open and later streams with `reason`. Only the first call has an effect. */
  interrupt(reason: SluiceError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const work of [...this.#listeners]) work();
  }
}
