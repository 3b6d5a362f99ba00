/*
 * Counts tokens in a separate thread. The thread starts with the first request, and again after it
 * has died.
 */

import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type CountAnswer, type CountRequest } from './token-worker.js';

/** Of the thread; its tables need 40. */
const HEAP_MB = 160;

export class TokenCounter {
  readonly #waiting = new Map<number, PromiseWithResolvers<readonly number[]>>();
  #worker: Worker | undefined;
  #nextId = 0;

  /** @returns a count a text. @throws Error where the thread cannot be had or died over it */
  count(texts: readonly string[]): Promise<readonly number[]> {
    const request: CountRequest = { id: this.#nextId++, texts };
    const answer = Promise.withResolvers<readonly number[]>();
    this.#waiting.set(request.id, answer);
    const worker = (this.#worker ??= this.#start());
    // A pending count keeps the process alive, the idle thread does not.
    worker.ref();
    worker.postMessage(request);
    return answer.promise;
  }

  #start(): Worker {
    // Beside this file, built or not.
    const file = new URL(`./token-worker${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(file, { name: 'tokens', resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } });
    worker.on('message', ({ id, counts }: CountAnswer) => {
      this.#waiting.get(id)?.resolve(counts);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) worker.unref();
    });
    worker.on('error', (error) => this.#lost(worker, error));
    worker.on('exit', () => this.#lost(worker, new Error('the thread that counts tokens has ended')));
    return worker;
  }

  /** A failed thread also emits its exit, possibly after its replacement has started. */
  #lost(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const answer of this.#waiting.values()) answer.reject(error);
    this.#waiting.clear();
  }
}
