/*
 * Counts tokens in a separate thread. The thread is started by the first request, and started again
 * after it has failed.
 */

import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type CountAnswer, type CountRequest } from './token-worker.js';

/** Heap limit of the thread in MB. Its tables need 40. */
const HEAP_MB = 160;

export class TokenCounter {
  readonly #waiting = new Map<number, PromiseWithResolvers<readonly number[]>>();
  #worker: Worker | undefined;
  #nextId = 0;

  /**
   * Counts the tokens of each text.
   * @throws Error if the thread cannot be started or fails
   */
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
    // The file is beside this one, in the sources as well as in the build.
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

  /**
   * Rejects the pending counts of a thread that has failed. Such a thread also emits `exit`,
   * possibly after its replacement has started, so the event of another thread is ignored.
   */
  #lost(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const answer of this.#waiting.values()) answer.reject(error);
    this.#waiting.clear();
  }
}
