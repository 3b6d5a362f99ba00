/*
 * The lanes of one connection. Bounds the lanes and the created responses that run or wait in them,
 * and cancels the tasks of a lane. Knows tasks by `ConnectionTask` only.
 */

import { SluiceError } from '../../domain/errors.js';
import { type Principal } from '../../domain/principal.js';
import { Lane, type LaneTask } from './lane.js';

/** A task as a cancel sees it. */
export interface ConnectionTask extends LaneTask {
  /** The response of the task, or undefined if it has none yet. */
  readonly responseId: string | undefined;
  /**
   * Whether this connection created the response, or will. False if a create joined a response by
   * its idempotency key.
   */
  readonly creates: boolean;
  /** Cancels the work of the task while its response is not known yet. */
  cancel(): void;
  /**
   * Cancels a response that this task is creating. A response that it joins by an idempotency key
   * runs on.
   */
  abandon(): void;
}

export interface LanesOptions {
  readonly maxLanes: number;
  readonly maxResponsesInFlight: number;
  /**
   * Called when more than `WAITING_MAX` events wait in lanes: only a client that causes errors
   * without reading its answers does that.
   */
  readonly onCrowded: () => void;
  /** Requests the cancel of a response. */
  readonly cancel: (caller: Principal, responseId: string) => Promise<unknown>;
}

/** Events that wait in lanes for the tasks before them. */
const WAITING_MAX = 256;

export class Lanes {
  readonly #options: LanesOptions;
  readonly #default = new Lane<ConnectionTask>();
  #named: Map<string, Lane<ConnectionTask>> | undefined;
  /**
   * Responses whose cancel was requested here, so that a repeated cancel causes no further call.
   * Created with the first one.
   */
  #cancelling: Set<string> | undefined;
  #inFlight = 0;
  #waiting = 0;

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** Returns the lane of that name, opened if needed. @throws SluiceError `too_many_lanes` */
  open(streamId: string | undefined): Lane<ConnectionTask> {
    if (streamId === undefined) return this.#default;
    this.#named ??= new Map();
    let lane = this.#named.get(streamId);
    if (lane === undefined) {
      const { maxLanes } = this.#options;
      if (this.#named.size >= maxLanes) throw tooManyLanes(maxLanes);
      lane = new Lane();
      this.#named.set(streamId, lane);
    }
    return lane;
  }

  /** @returns the lane of that name, or undefined if it is not open */
  find(streamId: string | undefined): Lane<ConnectionTask> | undefined {
    return streamId === undefined ? this.#default : this.#named?.get(streamId);
  }

  /** Counts a response to be created, until `release`. @throws SluiceError `too_many_responses` */
  admit(): void {
    const { maxResponsesInFlight } = this.#options;
    if (this.#inFlight >= maxResponsesInFlight) {
      throw new SluiceError(
        'too_many_responses',
        `unable to start another response; ${maxResponsesInFlight} of this connection run or wait already; wait for one to end`,
        { retryAfterMs: 1_000 },
      );
    }
    this.#inFlight += 1;
  }

  release(): void {
    this.#inFlight -= 1;
  }

  /**
   * Sends an event after the tasks of the lane have ended, or now if there are none. The official
   * client ends the response of a lane at an error, so an error must not overtake it.
   */
  inOrder(streamId: string | undefined, send: () => void): void {
    const lane = this.find(streamId);
    if (lane === undefined || lane.size === 0) send();
    else lane.push(new SendTask(this.later(send)));
  }

  /** Counts an event that waits in a lane, until the returned function sends it. */
  later(send: () => void): () => void {
    this.#waiting += 1;
    if (this.#waiting > WAITING_MAX) this.#options.onCrowded();
    return () => {
      this.#waiting -= 1;
      send();
    };
  }

  /**
   * Cancels the tasks of a lane, with one call for each response.
   * @returns whether one of the tasks has a response id already
   */
  cancel(caller: Principal, streamId: string | undefined): boolean {
    const tasks = [...(this.find(streamId)?.tasks ?? [])];
    for (const task of tasks) {
      task.cancel();
      this.#request(caller, task.responseId);
    }
    return tasks.some(({ responseId }) => responseId !== undefined);
  }

  /** Cancels the responses that this connection created, not those that it resumed or joined. */
  cancelCreated(caller: Principal): void {
    for (const lane of [this.#default, ...(this.#named?.values() ?? [])]) {
      for (const task of lane.tasks) {
        if (!task.creates) continue;
        task.abandon();
        this.#request(caller, task.responseId);
      }
    }
  }

  #request(caller: Principal, responseId: string | undefined): void {
    if (responseId === undefined || this.#cancelling?.has(responseId) === true) return;
    this.#cancelling ??= new Set();
    const cancelling = this.#cancelling;
    cancelling.add(responseId);
    // Viewers see the cancel by the terminal event. The id is dropped when the call settles, so
    // that a client can retry a cancel that failed.
    const forget = (): void => void cancelling.delete(responseId);
    this.#options.cancel(caller, responseId).then(forget, forget);
  }
}

/** An event that is sent when its place in the lane has come. */
class SendTask implements ConnectionTask {
  readonly responseId = undefined;
  readonly creates = false;
  readonly #send: () => void;

  constructor(send: () => void) {
    this.#send = send;
  }

  async run(): Promise<void> {
    this.#send();
  }

  cancel(): void {
    return;
  }

  abandon(): void {
    return;
  }
}

function tooManyLanes(maxLanes: number): SluiceError {
  return new SluiceError(
    'too_many_lanes',
    `unable to open another lane; a connection has at most ${maxLanes}, and a lane counts until the socket closes; use one of them`,
    { param: 'stream_id' },
  );
}
