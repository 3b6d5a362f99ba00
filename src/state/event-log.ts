/*
 * The event log: the one contract at which the two halves of a turn meet. A turn appends, viewers
 * read and follow. Memory and Redis implement it; test/contract/suites/event-log.ts runs the same
 * suite over both.
 */

import { type LoggedEvent } from '../domain/event.js';
import { type StoredItem } from '../domain/item.js';
import { type StoredResponse } from '../domain/response.js';

/** What a running turn has reserved of its caller's limits, until the turn is settled. */
export interface Reservation {
  /** The name under which the limits count this caller. */
  readonly caller: string;
  readonly tokens: number;
  /** Expected tokens of the provider request, estimated at admission. */
  readonly inputTokens: number;
  /** Millionths of a US dollar. */
  readonly costMicros: number;
  /** The class whose limits it was taken from. Absent: `limits.per_user`. */
  readonly limitsClass?: string;
}

/** What the log holds of a response beside its events. Written when the log is created. */
export interface LogHead {
  readonly responseId: string;
  readonly owner: string;
  /** The class of the credential that created it, which decides how long it is stored. */
  readonly limitsClass?: string;
  readonly conversationId: string | null;
  /** Whether the response is stored. If not, its log expires 60 s after its end. */
  readonly store: boolean;
  /**
   * The items of the request: for viewers that announce the turn, and for the replica that ends a
   * lost replica's turn.
   */
  readonly input: readonly StoredItem[];
  /**
   * What the turn reserved, for the replica that may have to end it. Absent if nothing was
   * reserved, and in logs of older versions.
   */
  readonly reserved?: Reservation;
}

/** The number that shuts out a former owner of a log. Grows by one with each new owner. */
export type Fence = number;

export interface CreatedLog {
  readonly fence: Fence;
  /** Whether the log holds the events of the begun turn, and watchers were notified of it. */
  readonly begun: boolean;
}

export type AppendResult =
  /**
   * The log holds the events. `cancelRequested`: a client has requested that the turn be cancelled.
   */
  | { readonly outcome: 'appended'; readonly cancelRequested: boolean }
  /**
   * Another replica owns the log, or the log is gone: the turn must write nothing more and stop.
   */
  | { readonly outcome: 'fenced' };

export type EndResult =
  | AppendResult
  /** Another end of the response is stored already. The terminal event was not appended. */
  | { readonly outcome: 'ended_before'; readonly stored: StoredResponse };

export interface LogPage {
  readonly head: LogHead;
  /** Events after the cursor, contiguous, oldest first; at most the requested limit. */
  readonly events: readonly LoggedEvent[];
  /** Sequence number of the newest event of the log; −1 while the log is empty. */
  readonly last: number;
  readonly ended: boolean;
}

export abstract class EventLog {
  /**
   * Creates an empty log and takes its first lease (fence 1) in the same step.
   * @throws Error if the log exists already: a bug
   */
  abstract create(head: LogHead): Promise<Fence>;

  /**
   * Creates a log that already holds the first events of its response, with numbers from 0. All or
   * nothing, so that a replica that ends a lost replica's turn finds the opening events. A shared
   * store must override this and do it in one step; the two steps here are enough for a store that
   * is lost with its process.
   * @param next the events after `first` of a turn that may begin. If the store is certain that the
   * turn holds its conversation and that no replica evicts it any more, it writes these in the same
   * step, and announces the response to the watchers of the conversation. A turn outside of
   * conversations needs no place
   * @throws SluiceError `state_unavailable`
   */
  async createWith(
    head: LogHead,
    first: readonly LoggedEvent[],
    next: readonly LoggedEvent[] = [],
  ): Promise<CreatedLog> {
    const fence = await this.create(head);
    const begun = next.length > 0 && head.conversationId === null;
    await this.append(head.responseId, fence, begun ? [...first, ...next] : first);
    return { fence, begun };
  }

  /**
   * Appends `events` (contiguous numbers, starting where the log ends), renews the lease, notifies
   * the followers, and returns whether a cancel was requested: one atomic step.
   *
   * Idempotent by sequence number: events that the log already holds from the same fence are
   * skipped, so a retry after a lost reply is safe. Events that would leave a hole are refused as
   * fenced, and nothing is written: the log has lost its tail, and a number must never appear twice
   * with different text. A terminal event ends the log and its lease, and starts its retention (10
   * min, or `state.ttl` if that is less; 60 s for `store: false`).
   * @returns the result itself if the store is in this process, which spares a running turn a
   * promise for each flush
   * @throws SluiceError `state_unavailable`
   */
  abstract append(
    responseId: string,
    fence: Fence,
    events: readonly LoggedEvent[],
  ): AppendResult | Promise<AppendResult>;

  /**
   * Appends the last events of a response as `append` does, the terminal event at their end, and
   * stores the end of the response, so that no viewer sees the terminal event before the response
   * can be read. The first stored end wins. A deleted response is not stored again, and its events
   * are appended. Safe to repeat after a lost reply.
   * @throws EndNotStored if the end could not be stored; the terminal event was not appended
   * @throws SluiceError `state_unavailable`
   */
  abstract end(
    responseId: string,
    fence: Fence,
    events: readonly LoggedEvent[],
    stored: StoredResponse,
  ): Promise<EndResult>;

  /**
   * Reads a page of events.
   * @param after number of the last event not wanted; −1 reads from the start
   * @param limit most events; 0 reads only the head, even if an event is missing
   * @returns the page, or undefined if the log does not exist or an event of this page is missing:
   * events are never renumbered
   * @throws SluiceError `state_unavailable`
   */
  abstract read(responseId: string, after: number, limit: number): Promise<LogPage | undefined>;

  /**
   * Delivers live events from now on, in order, possibly with gaps or repeats: Redis pub/sub loses
   * messages and reconnects. The follower repairs both by sequence number.
   * @param onEvents called with the events of each append
   * @param onGap called when events may have been lost
   * @returns a function that ends the subscription, once the subscription is established
   */
  abstract subscribe(
    responseId: string,
    onEvents: (events: readonly LoggedEvent[]) => void,
    onGap: () => void,
  ): Promise<() => void>;

  /**
   * Requests that the turn be cancelled. Idempotent, and stored before it is signalled: the owner
   * sees it in the result of its next append or renewal, or at once through `watchCancel`.
   * @returns false if the log is unknown or has ended
   */
  abstract requestCancel(responseId: string): Promise<boolean>;

  /** Removes a log (DELETE of a response) and calls `onGap` of its followers. */
  abstract delete(responseId: string): Promise<void>;
}

/**
 * The right of one replica to run a turn, with an expiry. A lease lasts 8 s and is renewed by every
 * append, or every 2 s without one.
 */
export abstract class TurnLease {
  /**
   * Renews the lease without appending. `held: false`: another replica took over, or the turn has
   * ended.
   */
  abstract renew(
    responseId: string,
    fence: Fence,
  ): Promise<{ readonly held: boolean; readonly cancelRequested: boolean }>;

  /**
   * Calls `onCancel` as soon as any replica receives a cancel of this response.
   * @returns a function that ends the watch
   */
  abstract watchCancel(responseId: string, onCancel: () => void): Promise<() => void>;

  /**
   * Takes over up to `limit` responses whose lease has expired without a terminal event. Each gets
   * a new fence and a new lease, and is returned to one replica only.
   */
  abstract adoptExpired(limit: number): Promise<readonly { readonly responseId: string; readonly fence: Fence }[]>;

  /**
   * Expires a lease at once, so that the next sweep takes the turn over: for a turn that failed, or
   * that a drain gave up.
   */
  abstract release(responseId: string, fence: Fence): Promise<void>;
}

export interface LogTimes {
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** How long a running log is stored after its last append or renewal. */
  readonly runningMs: number;
  /** How long an ended log is stored. */
  readonly endedMs: number;
  /** How long an ended log with `store: false` is stored. */
  readonly endedUnstoredMs: number;
  /** How long the mark of a deleted response is stored. */
  readonly deletedMs: number;
}

/**
 * Retention and lease times, in milliseconds. One table, so that both stores and the documentation
 * agree.
 */
export const LOG_TIMES: LogTimes = {
  leaseMs: 8_000,
  renewEveryMs: 2_000,
  runningMs: 15 * 60_000,
  endedMs: 10 * 60_000,
  endedUnstoredMs: 60_000,
  deletedMs: 60 * 60_000,
};
