/*
 * A lane: what a connection asked for under one `stream_id`, first in, first out. The next task begins when the one before it has
 * told its end, so that an error, too, stands where the client waits for it. Knows neither frames nor responses.
 */

export interface LaneTask {
  /** Runs to its end; never rejects. */
  run(): Promise<void>;
  /** Asks it to end soon, whether it runs or waits; what has nothing to cancel ignores it. */
  cancel(): void;
}

export class Lane {
  readonly #tasks: LaneTask[] = [];
  #running = false;

  /** The task that runs now and those that wait, in order. */
  get tasks(): readonly LaneTask[] {
    return this.#tasks;
  }

  push(task: LaneTask): void {
    this.#tasks.push(task);
    if (!this.#running) void this.#work();
  }

  async #work(): Promise<void> {
    this.#running = true;
    for (let task = this.#tasks[0]; task !== undefined; task = this.#tasks[0]) {
      await task.run();
      this.#tasks.shift();
    }
    this.#running = false;
  }
}
