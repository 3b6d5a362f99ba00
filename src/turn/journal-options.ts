/* The options of the journal of a turn. */

import { type SluiceError } from '../domain/errors.js';
import { type ResponseEvent } from '../domain/event.js';
import { type ResponseObject } from '../domain/response.js';
import { type Time } from '../domain/time.js';
import { type EventLog, type Fence } from '../state/event-log.js';
import { type FlushClock } from './flush-clock.js';

export interface JournalOptions {
  readonly events: Pick<EventLog, 'append' | 'end'>;
  readonly clock: FlushClock;
  readonly responseId: string;
  readonly fence: Fence;
  readonly response: ResponseObject;
  /** The first events of the response, which are in the log already. */
  readonly opening?: readonly ResponseEvent[];
  /** Called at most once, when a cancel is requested. */
  readonly onCancel: () => void;
  /**
   * Called at most once, when another replica owns the turn or the log could not be written for
   * `giveUpMs`. Nothing is written after it.
   */
  readonly onLost: (error: SluiceError) => void;
  /**
   * Called after each append with its duration, retries included, and the number of deltas in it.
   */
  readonly onAppend?: (durationMs: number, deltas: number) => void;
  /**
   * How long an append is retried while the store is unavailable, in milliseconds. Default: 30 000.
   */
  readonly giveUpMs?: number;
  readonly time?: Time;
}
