/*
 * The journal of one turn: takes events, joins deltas, numbers the events and appends them to the
 * log. One append runs at a time, and events that arrive meanwhile go into the next one. Sequence
 * numbers are assigned after joining, so every viewer and every replay sees the same events. The
 * journal is the only writer of its log and knows no readers.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { type SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent, type ResponseEvent, type TerminalEvent } from '../domain/event.js';
import { type StoredResponse } from '../domain/response.js';
import { systemTime, type Time } from '../domain/time.js';
import { EndNotStored } from '../state/end-in-steps.js';
import { type AppendResult } from '../state/event-log.js';
import { type JournalOptions } from './journal-options.js';
import { leaseDoubtful, logNotWritable, takenOver } from './response-errors.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { type Batch, type DeltaEvent, WaitingEvents } from './waiting-events.js';

export class Journal {
  readonly accumulator: ResponseAccumulator;
  readonly #options: JournalOptions;
  readonly #time: Time;
  readonly #waiting: WaitingEvents;
  #onClock = false;
  #atOnce = false;
  /** Whether events wait for `writeBy` or `end`. */
  #held = false;
  #hadDelta = false;
  /** The append that runs, if the store is outside this process. */
  #appending: Promise<void> | undefined;
  /** Whether the turn is logged as begun, or will be. */
  #begun: boolean;
  /** Whether the terminal event is being appended. */
  #ending = false;
  #ended = false;
  #mayHaveEnded = false;
  #lost: SluiceError | undefined;
  #cancelReported = false;
  /** Time of the last confirmed append, from `Time.now()`. */
  appendedAt: number;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
    this.appendedAt = this.#time.now();
    this.accumulator = new ResponseAccumulator(options.response);
    const { opening = [] } = options;
    for (const event of opening) this.accumulator.apply(event);
    this.#waiting = new WaitingEvents(opening.length);
    this.#begun = opening.at(-1)?.type === 'response.in_progress';
  }

  /** Sequence number of the next event that joins no delta. */
  get nextSequence(): number {
    return this.#waiting.nextSequence;
  }

  /**
   * Whether an append of the terminal event was not answered. The log may have ended by it, also if
   * a repeat of the append was refused.
   */
  get mayHaveEnded(): boolean {
    return this.#mayHaveEnded;
  }

  /** Whether the terminal event is in the log. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Why the journal stopped writing, or undefined if it writes. */
  get lost(): SluiceError | undefined {
    return this.#lost;
  }

  /** Whether the turn is logged as begun. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Logs that the turn has begun, unless the opening of its log did. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.emit({ type: 'response.in_progress', response: { ...this.accumulator.response(), status: 'in_progress' } });
  }

  /** Writes an event at once, together with the events that wait before it. */
  emit(event: ResponseEvent): void {
    if (this.#lost !== undefined) return;
    this.accumulator.apply(event);
    this.#waiting.add(event);
    this.#soon();
  }

  /**
   * Writes a delta. It may wait for the next tick of the clock and is joined with those that
   * follow. The first delta of a turn does not wait.
   */
  delta(event: DeltaEvent): void {
    if (this.#lost !== undefined) return;
    this.accumulator.apply(event);
    if (this.#waiting.addDelta(event)) return;
    if (!this.#hadDelta) {
      this.#hadDelta = true;
      this.#soon();
    } else if (!this.#onClock && !this.#atOnce) {
      this.#onClock = true;
      this.#options.clock.schedule(this.#onTick);
    }
  }

  /** Lets the waiting and all further events wait for `writeBy` or `end`. */
  hold(): void {
    this.#held = true;
  }

  /**
   * Writes the waiting events by `write`, which stores something else with them. Repeats it while
   * the store is unavailable.
   * @returns its result, or undefined if the journal is lost
   * @throws what `write` throws. Whether the log has the events is not known then, and `end` writes
   * them again
   */
  async writeBy<R extends AppendResult>(write: (events: readonly LoggedEvent[]) => Promise<R>): Promise<R | undefined> {
    this.hold();
    while (this.#appending !== undefined) await this.#appending;
    if (this.lost !== undefined) return undefined;
    const batch = this.#batch();
    const result = await this.#whileUnavailable(() => write(batch.events));
    this.#confirm(batch, result);
    if (this.lost !== undefined) return undefined;
    this.#waiting.clear(batch.events.length);
    return result;
  }

  /**
   * Writes the terminal event with the events that wait before it, and stores the end of the
   * response, if there is one to store. Resolves when the log has them or the journal is lost.
   * @returns another end that was stored before; the terminal was not written then, and the caller
   * calls again with that end
   * @throws EndNotStored if the end could not be stored; the terminal was not written then
   */
  async end(terminal: TerminalEvent, stored?: StoredResponse): Promise<StoredResponse | undefined> {
    this.hold();
    while (this.#appending !== undefined) await this.#appending;
    if (this.#lost !== undefined) return undefined;
    this.accumulator.apply(terminal);
    const { events: log, responseId, fence } = this.#options;
    const batch = this.#batch(terminal);
    try {
      const result = await this.#whileUnavailable(() =>
        stored === undefined
          ? log.append(responseId, fence, batch.events)
          : log.end(responseId, fence, batch.events, stored),
      );
      if (result.outcome === 'ended_before') {
        this.#ending = false;
        return result.stored;
      }
      this.#waiting.clear(batch.events.length);
      this.#confirm(batch, result);
    } catch (error) {
      if (error instanceof EndNotStored) {
        this.#ending = false;
        throw error;
      }
      this.#loseLog(error);
    }
    return undefined;
  }

  readonly #onTick = (): void => {
    this.#onClock = false;
    this.#write();
  };

  /**
   * Writes after all promises that settle without I/O, so that events that arrived together are
   * appended together. The end of an answer may arrive with its first text, and its reader takes it
   * some promises later. A write before that would cost an append of its own.
   */
  #soon(): void {
    if (this.#atOnce) return;
    this.#atOnce = true;
    process.nextTick(() => {
      this.#atOnce = false;
      this.#write();
    });
  }

  /**
   * Appends the waiting events. If an append runs, they go into the next one. Never throws.
   */
  #write(): void {
    if (this.#appending !== undefined || this.#waiting.length === 0 || this.#held || this.#lost !== undefined) return;
    const { events, responseId, fence } = this.#options;
    const batch = this.#batch();
    this.#waiting.clear(batch.events.length);
    try {
      const result = events.append(responseId, fence, batch.events);
      if ('outcome' in result) this.#confirm(batch, result);
      else this.#appending = this.#confirmLater(batch, result);
    } catch (error) {
      this.#loseLog(error);
    }
  }

  /** Begins an append of the waiting events, and of the terminal event behind them. */
  #batch(...terminal: readonly TerminalEvent[]): Batch {
    const events = this.#waiting.numbered(...terminal);
    this.#ending = isTerminal(events.at(-1)?.type);
    return { events, deltas: this.#waiting.deltas, startedAt: this.#time.now() };
  }

  /**
   * Waits for a store outside this process, and appends again while it is unavailable. Appends are
   * idempotent by sequence number, so the same events can be sent again. Never rejects.
   */
  async #confirmLater(batch: Batch, begun: Promise<AppendResult>): Promise<void> {
    const { events, responseId, fence } = this.#options;
    try {
      this.#confirm(batch, await this.#whileUnavailable(() => events.append(responseId, fence, batch.events), begun));
    } catch (error) {
      this.#loseLog(error);
    }
    this.#appending = undefined;
    this.#write();
  }

  #whileUnavailable<T>(work: () => T | Promise<T>, begun?: Promise<T>): Promise<T> {
    return retryWhileUnavailable(work, {
      ...(begun === undefined ? {} : { begun }),
      giveUpMs: this.#options.giveUpMs ?? 30_000,
      wanted: () => {
        // An attempt was not answered.
        this.#mayHaveEnded ||= this.#ending;
        return this.#lost === undefined;
      },
      time: this.#time,
    });
  }

  #confirm({ deltas, startedAt }: Batch, result: AppendResult): void {
    if (result.outcome === 'fenced') {
      this.#lose(takenOver());
      return;
    }
    this.appendedAt = this.#time.now();
    this.#ended = this.#ending;
    if (result.cancelRequested) this.cancelRequested();
    this.#options.onAppend?.(this.appendedAt - startedAt, deltas);
  }

  /** Reports a cancel request, from the log or from a signal. Later calls have no effect. */
  cancelRequested(): void {
    if (this.#cancelReported) return;
    this.#cancelReported = true;
    this.#options.onCancel();
  }

  /**
   * Stops writing because this replica no longer holds the lease. Ignored while the terminal event
   * is being appended: that append ends the lease, and if its reply is lost a renewal finds the
   * lease gone. Treating this as a loss would leave an ended turn uncounted. The repeated append
   * reports whether the journal was fenced.
   */
  leaseLost(): void {
    if (this.#ending) return;
    this.#lose(leaseDoubtful());
  }

  #loseLog(cause: unknown): void {
    this.#mayHaveEnded ||= this.#ending;
    this.#lose(logNotWritable(cause));
  }

  /** Stops writing. Without effect after the terminal event, which ends the lease. */
  #lose(error: SluiceError): void {
    if (this.#lost !== undefined || this.#ended) return;
    this.#lost = error;
    this.#waiting.clear(0);
    this.#options.onLost(error);
  }
}
