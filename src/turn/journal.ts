/*
 * The journal of one turn: takes events as they happen, joins deltas, numbers what is left and appends it, one append at a time and
 * the rest collected meanwhile. Sequence numbers are given here, after joining, so that every viewer and every replay sees the same
 * events. The only writer of its log; knows nothing of who reads.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { SluiceError } from '../domain/errors.js';
import { type LoggedEvent, type ResponseEvent, serialize } from '../domain/event.js';
import { type ResponseObject } from '../domain/response.js';
import { type EventLog, type Fence } from '../state/event-log.js';
import { type FlushClock } from './batch.js';

export type DeltaEvent = Extract<ResponseEvent, { readonly delta: string }>;

export interface JournalOptions {
  readonly log: EventLog;
  readonly clock: FlushClock;
  readonly responseId: string;
  readonly fence: Fence;
  readonly response: ResponseObject;
  /** Somebody asked for a cancel; called at most once. */
  readonly onCancel: () => void;
  /** This replica no longer owns the turn, or could not write for `giveUpMs`: nothing more will be written. Called at most once. */
  readonly onLost: (error: SluiceError) => void;
  /** Called after each append with the number of deltas in it. */
  readonly onAppend?: (deltas: number) => void;
  /** How long an unreachable log is tried again, in milliseconds. */
  readonly giveUpMs?: number;
}

const RETRY_FIRST_MS = 25;
const RETRY_MOST_MS = 1_000;

export class Journal {
  readonly accumulator: ResponseAccumulator;
  readonly #options: JournalOptions;
  #pending: ResponseEvent[] = [];
  #onClock = false;
  #atOnce = false;
  #hadDelta = false;
  #next = 0;
  #writing: Promise<void> | undefined;
  #lost = false;
  #cancelTold = false;
  /** Unix milliseconds of the last append that the log confirmed. */
  appendedAt = Date.now();

  constructor(options: JournalOptions) {
    this.#options = options;
    this.accumulator = new ResponseAccumulator(options.response);
  }

  /** Number that the next event will get, once everything before it is flushed. */
  get nextSequence(): number {
    return this.#next;
  }

  /** Writes an event at once, together with whatever waits before it. */
  emit(event: ResponseEvent): void {
    if (this.#lost) return;
    this.accumulator.apply(event);
    this.#pending.push(event);
    this.#soon();
  }

  /** Writes text; it may wait for the clock's next tick to be joined with what follows. The first of a turn never waits. */
  delta(event: DeltaEvent): void {
    if (this.#lost) return;
    this.accumulator.apply(event);
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

  /** Resolves when everything emitted so far stands in the log, or the journal is lost. */
  async flushed(): Promise<void> {
    this.#write();
    while (this.#writing !== undefined) {
      await this.#writing;
      this.#write();
    }
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
    if (this.#writing !== undefined || this.#pending.length === 0 || this.#lost) return;
    this.#writing = this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  /** Appends until nothing waits: what came during an append goes with the next. */
  async #drain(): Promise<void> {
    while (this.#pending.length > 0 && !this.#lost) {
      const events = this.#pending.map((event, i) => serialize(event, this.#next + i));
      this.#pending = [];
      this.#next += events.length;
      await this.#append(events);
    }
  }

  async #append(events: readonly LoggedEvent[]): Promise<void> {
    const { log, responseId, fence, onAppend, giveUpMs = 30_000 } = this.#options;
    const startedAt = performance.now();
    for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
      try {
        const result = await log.append(responseId, fence, events);
        if (result.outcome === 'fenced') {
          this.#lose(
            new SluiceError('replica_lost', 'unable to go on with this turn; another replica has taken it over'),
          );
          return;
        }
        this.appendedAt = Date.now();
        onAppend?.(events.filter((event) => event.type.endsWith('.delta')).length);
        if (result.cancelRequested) this.cancelAsked();
        return;
      } catch (error) {
        // Appends are idempotent by number, so the same events are simply sent again while the log is away.
        const passing = error instanceof SluiceError && error.code === 'state_unavailable';
        if (!passing || performance.now() - startedAt > giveUpMs) {
          this.#lose(
            new SluiceError('state_unavailable', 'unable to go on with this turn; its log cannot be written', {
              cause: error,
            }),
          );
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  /** A cancel was asked, by the log's word or by a signal. */
  cancelAsked(): void {
    if (this.#cancelTold) return;
    this.#cancelTold = true;
    this.#options.onCancel();
  }

  /** The right to write is gone. */
  leaseLost(): void {
    this.#lose(new SluiceError('replica_lost', 'unable to go on with this turn; its lease is no longer held here'));
  }

  #lose(error: SluiceError): void {
    if (this.#lost) return;
    this.#lost = true;
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
