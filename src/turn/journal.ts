/*
 * The journal of one turn: takes events as they happen, joins deltas, numbers what is left and appends it, one append at a time and
 * the rest collected meanwhile. Sequence numbers are given here, after joining, so that every viewer and every replay sees the same
 * events. The only writer of its log; knows nothing of who reads.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent, type ResponseEvent, serialize } from '../domain/event.js';
import { type ResponseObject } from '../domain/response.js';
import { systemTime, type Time } from '../domain/time.js';
import { type EventLog, type Fence } from '../state/event-log.js';
import { type FlushClock } from './flush-clock.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';

export type DeltaEvent = Extract<ResponseEvent, { readonly delta: string }>;

export interface JournalOptions {
  readonly events: EventLog;
  readonly clock: FlushClock;
  readonly responseId: string;
  readonly fence: Fence;
  readonly response: ResponseObject;
  /** The first events of the response, which stand in the log already. */
  readonly opening?: readonly ResponseEvent[];
  /** Somebody asked for a cancel; called at most once. */
  readonly onCancel: () => void;
  /** This replica no longer owns the turn, or could not write for `giveUpMs`: nothing more will be written. Called at most once. */
  readonly onLost: (error: SluiceError) => void;
  /** Called after each append with its duration, retries included, and the number of deltas in it. */
  readonly onAppend?: (durationMs: number, deltas: number) => void;
  /** How long an unreachable log is tried again, in milliseconds. */
  readonly giveUpMs?: number;
  readonly time?: Time;
}

export class Journal {
  readonly accumulator: ResponseAccumulator;
  readonly #options: JournalOptions;
  readonly #time: Time;
  #pending: ResponseEvent[] = [];
  #onClock = false;
  #atOnce = false;
  #hadDelta = false;
  #next = 0;
  #writing = false;
  #appending: Promise<void> | undefined;
  /** How many events were taken in, and how many of those stand in the log. */
  #taken = 0;
  #standing = 0;
  /** Whether the terminal event is being appended. */
  #ending = false;
  #ended = false;
  #lost: SluiceError | undefined;
  #cancelReported = false;
  /** When the log last confirmed an append, by `Time.now()`. */
  appendedAt: number;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
    this.appendedAt = this.#time.now();
    this.accumulator = new ResponseAccumulator(options.response);
    const { opening = [] } = options;
    for (const event of opening) this.accumulator.apply(event);
    this.#next = this.#taken = this.#standing = opening.length;
  }

  /** Number that the next event will get, once everything before it is flushed. */
  get nextSequence(): number {
    return this.#next;
  }

  /** Whether an append of the terminal event was begun. If its reply is lost, the log may have ended by it. */
  get ending(): boolean {
    return this.#ending;
  }

  /** Does the terminal event stand in the log? */
  get ended(): boolean {
    return this.#ended;
  }

  /** Why nothing more will be written, where that is so. */
  get lost(): SluiceError | undefined {
    return this.#lost;
  }

  /** Writes an event at once, together with whatever waits before it. */
  emit(event: ResponseEvent): void {
    if (this.#lost !== undefined) return;
    this.accumulator.apply(event);
    this.#taken += 1;
    this.#pending.push(event);
    this.#soon();
  }

  /** Writes text; it may wait for the clock's next tick to be joined with what follows. The first of a turn never waits. */
  delta(event: DeltaEvent): void {
    if (this.#lost !== undefined) return;
    this.accumulator.apply(event);
    this.#taken += 1;
    const newest = this.#pending.at(-1);
    if (newest !== undefined && joins(newest, event)) {
      this.#pending[this.#pending.length - 1] = { ...newest, delta: newest.delta + event.delta };
      return;
    }
    this.#pending.push(event);
    if (!this.#hadDelta) {
      this.#hadDelta = true;
      this.#soon();
    } else if (!this.#onClock && !this.#atOnce) {
      this.#onClock = true;
      this.#options.clock.schedule(this.#onTick);
    }
  }

  /** Resolves when everything emitted so far stands in the log, or the journal is lost. What is emitted meanwhile is not waited for. */
  async flushed(): Promise<void> {
    const upTo = this.#taken;
    this.#write();
    while (this.#standing < upTo && this.#appending !== undefined) await this.#appending;
  }

  readonly #onTick = (): void => {
    this.#onClock = false;
    this.#write();
  };

  /** At the end of this microtask, so that what is emitted together is appended together. */
  #soon(): void {
    if (this.#atOnce) return;
    this.#atOnce = true;
    queueMicrotask(() => {
      this.#atOnce = false;
      this.#write();
    });
  }

  #write(): void {
    if (!this.#writing) void this.#drain();
  }

  /** Appends until nothing waits: what came during an append goes with the next. Never rejects. */
  async #drain(): Promise<void> {
    this.#writing = true;
    while (this.#pending.length > 0 && this.#lost === undefined) {
      const taken = this.#taken;
      const events = this.#pending.map((event, i) => serialize(event, this.#next + i));
      this.#pending = [];
      this.#next += events.length;
      this.#appending = this.#append(events);
      await this.#appending;
      if (this.#lost === undefined) this.#standing = taken;
    }
    this.#appending = undefined;
    this.#writing = false;
  }

  async #append(events: readonly LoggedEvent[]): Promise<void> {
    const { responseId, fence, onAppend, giveUpMs = 30_000 } = this.#options;
    const startedAt = this.#time.now();
    this.#ending = events.some(({ type }) => isTerminal(type));
    try {
      // Appends are idempotent by number, so the same events are simply sent again while the log is away.
      const result = await retryWhileUnavailable(() => this.#options.events.append(responseId, fence, events), {
        giveUpMs,
        wanted: () => this.#lost === undefined,
        time: this.#time,
      });
      if (result.outcome === 'fenced') {
        this.#lose(
          new SluiceError('replica_lost', 'unable to go on with this turn; another replica has taken it over'),
        );
        return;
      }
      this.appendedAt = this.#time.now();
      this.#ended = this.#ending;
      if (result.cancelRequested) this.cancelRequested();
    } catch (error) {
      const why = 'unable to go on with this turn; its log cannot be written';
      this.#lose(new SluiceError('state_unavailable', why, { cause: error }));
      return;
    }
    onAppend?.(this.#time.now() - startedAt, events.filter((event) => event.type.endsWith('.delta')).length);
  }

  /** A cancel was asked, by the log's word or by a signal. */
  cancelRequested(): void {
    if (this.#cancelReported) return;
    this.#cancelReported = true;
    this.#options.onCancel();
  }

  /**
   * The right to write is gone. Ignored while the terminal event is being appended: the reply of an append that ended the log may be lost, and
   * a renewal then finds the lease ended. Taking that for a loss would leave an ended turn uncounted. The append itself says whether it was fenced.
   */
  leaseLost(): void {
    if (this.#ending) return;
    this.#lose(new SluiceError('replica_lost', 'unable to go on with this turn; its lease is no longer held here'));
  }

  /** A lease that ended with the terminal event is no loss. */
  #lose(error: SluiceError): void {
    if (this.#lost !== undefined || this.#ended) return;
    this.#lost = error;
    this.#pending = [];
    this.#options.onLost(error);
  }
}

function joins(earlier: ResponseEvent, later: DeltaEvent): earlier is DeltaEvent {
  return (
    earlier.type === later.type &&
    earlier.output_index === later.output_index &&
    (!('content_index' in earlier) || !('content_index' in later) || earlier.content_index === later.content_index)
  );
}
