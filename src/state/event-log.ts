/*
 * The event log: the one contract at which the two halves of a turn meet. A turn appends, viewers read and follow.
 * Memory and Redis implement it; test/contract/event-log runs the same suite over both.
 */

import { type LoggedEvent } from '../domain/event.js';
import { type StoredItem } from '../domain/item.js';

/** What the limits of a caller hold for a running turn, until it is settled. */
export interface Reservation {
  /** The name that limits count the caller by. */
  readonly caller: string;
  readonly tokens: number;
  /** Expected tokens of what is sent to the provider, as far as admission knew it. */
  readonly inputTokens: number;
  /** Millionths of a US dollar. */
  readonly costMicros: number;
}

/** What is known of a response beside its events, written when the log is created. */
export interface LogHead {
  readonly responseId: string;
  readonly owner: string;
  readonly conversationId: string | null;
  /** False: the log is gone 60 s after its end. */
  readonly store: boolean;
  /** What was asked: for viewers that announce it, and for whoever has to end the turn of a lost replica. */
  readonly input: readonly StoredItem[];
  /** What the turn reserved of its caller's limits, for the replica that has to end it. Absent where nothing was, and from older versions. */
  readonly reserved?: Reservation;
}

/** The right to write: the number that shuts out a former owner. Grows by one with each new owner of a response. */
export type Fence = number;

export type AppendResult =
  /** The log holds the events. `cancelRequested`: somebody asked, durably, that the turn be cancelled. */
  | { readonly outcome: 'appended'; readonly cancelRequested: boolean }
  /** Another owner has taken over, or the lease ended: write nothing more and stop. */
  | { readonly outcome: 'fenced' };

export interface LogPage {
  readonly head: LogHead;
  /** Events after the cursor, contiguous, oldest first; at most the limit asked for. */
  readonly events: readonly LoggedEvent[];
  /** Sequence number of the newest event of the log; −1 while it is empty. */
  readonly last: number;
  readonly ended: boolean;
}

export abstract class EventLog {
  /** Creates an empty log and takes its first lease (fence 1) in the same step. Creating one twice is a bug and throws. */
  abstract create(head: LogHead): Promise<Fence>;

  /**
   * Creates a log in which the first events of its response stand already, numbers from 0: all or nothing, so that whoever has to end the turn
   * of a lost replica finds how it began. A store that goes with its process needs no more than two steps; one that is shared does it in one.
   * @throws SluiceError `state_unavailable`
   */
  async begin(head: LogHead, first: readonly LoggedEvent[]): Promise<Fence> {
    const fence = await this.create(head);
    await this.append(head.responseId, fence, first);
    return fence;
  }

  /**
   * Appends `events` (contiguous numbers, starting where the log ends), renews the lease, tells the followers, and says
   * whether a cancel was asked: one atomic step. Idempotent by sequence number: events that the log already holds from the
   * same fence are passed over, so a retry after a lost reply is safe. Events that leave a hole are refused as fenced, and nothing is
   * written: the log lost its tail, and a number must never come twice with other text. A terminal event ends the log and its
   * lease, and starts its retention (10 min; `store: false`: 60 s). @throws SluiceError `state_unavailable`
   */
  abstract append(responseId: string, fence: Fence, events: readonly LoggedEvent[]): Promise<AppendResult>;

  /**
   * Returns the events after number `after` (−1: from the start), or undefined where there is no such log, or no longer, or where an event of
   * this page is missing in the store: events are never given other numbers. A limit of 0 reads the head even then.
   * @throws SluiceError `state_unavailable`
   */
  abstract read(responseId: string, after: number, limit: number): Promise<LogPage | undefined>;

  /**
   * Live events from now on, in order, possibly with gaps or repeats (Redis pub/sub loses and reconnects): the follower heals them
   * by number. `onEvents` is called with each append's events; `onGap` when some may have been lost. Resolves when the
   * subscription stands, to the function that ends it.
   */
  abstract subscribe(
    responseId: string,
    onEvents: (events: readonly LoggedEvent[]) => void,
    onGap: () => void,
  ): Promise<() => void>;

  /**
   * Asks that the turn be cancelled: durable before it is signalled, idempotent. The owner learns of it by its next append or
   * renewal, or at once by `onCancel`. False: the log is unknown or has ended.
   */
  abstract requestCancel(responseId: string): Promise<boolean>;

  /** Removes a log (DELETE of a response); whoever follows it is called by `onGap`. */
  abstract delete(responseId: string): Promise<void>;
}

/** Who may write to a log, and until when. A lease lasts 8 s and is renewed by every append, or every 2 s without one. */
export abstract class TurnLease {
  /** Renews without appending, for turns that wait. `held: false`: another owner took over, or it ended. */
  abstract renew(
    responseId: string,
    fence: Fence,
  ): Promise<{ readonly held: boolean; readonly cancelRequested: boolean }>;

  /** Calls `onCancel` at once when a cancel of a response that this replica runs is asked anywhere. Resolves to the end of it. */
  abstract watchCancel(responseId: string, onCancel: () => void): Promise<() => void>;

  /**
   * Takes over up to `limit` responses whose lease has run out without a terminal event: each is given to one caller only, with a new fence and a new lease.
   */
  abstract adoptExpired(limit: number): Promise<readonly { readonly responseId: string; readonly fence: Fence }[]>;

  /** Ends a lease early, so that the next sweep takes the turn over at once: a turn that broke, or that a drain gave up. */
  abstract release(responseId: string, fence: Fence): Promise<void>;
}

export interface LogTimes {
  readonly leaseMs: number;
  readonly renewEveryMs: number;
  /** A running log lives this long after its last append or renewal. */
  readonly runningMs: number;
  readonly endedMs: number;
  /** The same for `store: false`. */
  readonly endedUnstoredMs: number;
  /** How long the deletion of a response is remembered. */
  readonly deletedMs: number;
}

/** Retention and lease times, in milliseconds. One table, so that both stores and the documentation agree. */
export const LOG_TIMES: LogTimes = {
  leaseMs: 8_000,
  renewEveryMs: 2_000,
  runningMs: 15 * 60_000,
  endedMs: 10 * 60_000,
  endedUnstoredMs: 60_000,
  deletedMs: 60 * 60_000,
};
