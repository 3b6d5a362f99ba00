/*
 * A lane: what a connection requested under one `stream_id`, first in, first out. The next task
 * starts when the one before it has sent its end, so that errors also come in the order of the
 * requests. Knows neither frames nor responses.
 */

export interface LaneTask {
  /** Runs to its end. Never rejects. */
  run(): Promise<void>;
}

export class Lane<Task extends LaneTask = LaneTask> {
  /**
   * In order of arrival. A set, so that a task is removed from the front or the middle at the same
   * small cost.
   */
  readonly #tasks = new Set<Task>();
  #running = false;

  get size(): number {
    return this.#tasks.size;
  }

  /** The running task and those that wait, in order. */
  get tasks(): Iterable<Task> {
    return this.#tasks;
  }

  push(task: Task): void {
    this.#tasks.add(task);
    if (!this.#running) void this.#work();
  }

  /** Removes a task that waits. A running task is removed when it ends. */
  remove(task: Task): void {
    this.#tasks.delete(task);
  }

  async #work(): Promise<void> {
    this.#running = true;
    for (const task of this.#tasks) {
      await task.run();
      this.#tasks.delete(task);
    }
    this.#running = false;
  }
}
