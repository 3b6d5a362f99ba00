/*
 * Reads responses: their current state, their events from any sequence number, and snapshots.
 * Deletes ended responses. Owners are compared here and nowhere else: a response of another owner
 * is reported as not found.
 */

import { SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent, serialize } from '../domain/event.js';
import { type Item, withAuthor } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { isEnded, type ResponseObject, type ResponseStatus, type StoredResponse } from '../domain/response.js';
import { sleep, systemTime, type Time } from '../domain/time.js';
import { type ItemQuery, type Page, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog, type LogHead } from '../state/event-log.js';
import { type FollowHub } from '../state/follow/follow-hub.js';
import { batches, type Viewer } from '../state/follow/viewer.js';
import { asBegun, foldLog, parseLogged, responseIn, terminalOf } from './logged-response.js';
import { invalidCursor, responseExpired, responseNotFound } from './response-errors.js';
import { removeResponse } from './response-removal.js';
import { ResponseSnapshots, type Snapshot } from './response-snapshots.js';

const TERMINAL_WITHIN_MS = 2_000;
/** Pause before a response whose events were replaced is followed again. */
const FOLLOW_AGAIN_MS = 250;

type OnFollowed = (responseId: string, after: number, caller: Principal) => void;

export interface ResponseReaderOptions {
  /**
   * How long a delete waits for the terminal of a response that is kept already, in milliseconds.
   */
  readonly terminalWithinMs?: number;
  /** Called for each reading that begins, for the log. */
  readonly onFollowed?: OnFollowed;
  readonly time?: Time;
}

export class ResponseReader {
  readonly #events: EventLog;
  readonly #hub: FollowHub;
  readonly #responses: ResponseStore;
  readonly #terminalWithinMs: number;
  readonly #onFollowed: OnFollowed | undefined;
  readonly #time: Time;
  readonly #snapshots: ResponseSnapshots;

  constructor(events: EventLog, hub: FollowHub, responses: ResponseStore, options: ResponseReaderOptions = {}) {
    this.#events = events;
    this.#hub = hub;
    this.#responses = responses;
    this.#terminalWithinMs = options.terminalWithinMs ?? TERMINAL_WITHIN_MS;
    this.#onFollowed = options.onFollowed;
    this.#time = options.time ?? systemTime;
    this.#snapshots = new ResponseSnapshots(events, responses, this.#time);
  }

  /** Returns the response in its current state. @throws SluiceError `response_not_found` */
  async retrieve(caller: Principal, responseId: string): Promise<ResponseObject> {
    const stored = await this.#stored(caller, responseId);
    if (stored !== undefined) return stored.response;
    const folded = await foldLog(this.#events, responseId, {
      time: this.#time,
      reachable: (owner, conversation) => reaches(caller, owner, conversation),
    });
    if (folded === undefined) throw responseNotFound();
    return folded.response;
  }

  /**
   * Opens a viewer from event `after` + 1 on.
   * @throws SluiceError `response_not_found`, `response_expired` (the log is gone, the response is
   * stored), `invalid_cursor`
   */
  async open(caller: Principal, responseId: string, after: number, wake: () => void): Promise<Viewer> {
    const viewer = await this.#hub.open(responseId, after, wake);
    if (viewer === undefined || !reaches(caller, viewer.head.owner, viewer.head.conversationId)) {
      viewer?.close();
      const stored = await this.#stored(caller, responseId);
      throw stored === undefined ? responseNotFound() : responseExpired();
    }
    if (after > viewer.last) {
      const { last } = viewer;
      viewer.close();
      throw invalidCursor(after, last);
    }
    this.#onFollowed?.(responseId, after, caller);
    return viewer;
  }

  /**
   * Yields past events, then live ones, in batches, up to the terminal event. Throws like `open`,
   * and `response_expired` if the log is deleted.
   */
  async *events(
    caller: Principal,
    responseId: string,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly LoggedEvent[]> {
    let terminalSeen = false;
    for await (const events of batches((wake) => this.open(caller, responseId, after, wake), signal)) {
      terminalSeen = isTerminal(events.at(-1)?.type ?? 'response.created');
      yield events;
    }
    if (!terminalSeen && !signal.aborted && !(await this.#endsAt(caller, responseId, after))) throw responseExpired();
  }

  /**
   * Yields the events from the start, for a request that may have been sent before. If the events
   * are gone and the response is stored, yields only `response.created` and the terminal event.
   * Throws like `events`.
   */
  async *repeat(caller: Principal, responseId: string, signal: AbortSignal): AsyncGenerator<readonly LoggedEvent[]> {
    let begun = false;
    try {
      for await (const events of this.events(caller, responseId, -1, signal)) {
        begun = true;
        yield events;
      }
    } catch (error) {
      const expired = error instanceof SluiceError && error.code === 'response_expired';
      const stored = expired && !begun ? await this.#stored(caller, responseId) : undefined;
      if (stored === undefined) throw error;
      const created = serialize({ type: 'response.created', response: asBegun(stored.response) }, 0);
      yield [created, serialize(terminalOf(stored.response), stored.terminalSequence)];
    }
  }

  /**
   * Waits for the end of a response, reading only its newest events.
   * @param waitMs milliseconds after which the wait ends
   * @returns the ended response, or its state when the wait ended
   */
  async settled(caller: Principal, responseId: string, signal: AbortSignal, waitMs?: number): Promise<ResponseObject> {
    const timeout = new AbortController();
    const stop = waitMs === undefined ? undefined : this.#time.after(waitMs, () => timeout.abort());
    const bounded = stop === undefined ? signal : AbortSignal.any([signal, timeout.signal]);
    try {
      for (;;) {
        const response =
          (await this.#terminal(caller, responseId, bounded)) ?? (await this.retrieve(caller, responseId));
        if (isEnded(response.status) || bounded.aborted) return response;
        // The log has lost its newest events, and its writer has replaced them.
        await sleep(this.#time, FOLLOW_AGAIN_MS);
      }
    } finally {
      stop?.();
    }
  }

  /** Follows a response to its end. @returns undefined if its events end before */
  async #terminal(caller: Principal, responseId: string, signal: AbortSignal): Promise<ResponseObject | undefined> {
    try {
      const last = (await this.lastSequence(caller, responseId)) ?? -1;
      // From the newest event on, so that a response that has ended meanwhile still shows its
      // terminal event.
      for await (const events of this.events(caller, responseId, Math.max(-1, last - 1), signal)) {
        const newest = events.at(-1);
        if (newest !== undefined && isTerminal(newest.type)) return responseIn(newest);
      }
    } catch (error) {
      if (!(error instanceof SluiceError && error.code === 'response_expired')) throw error;
    }
    return undefined;
  }

  /**
   * Returns a snapshot for a viewer that is far behind. Parameters and errors as of
   * `ResponseSnapshots.get`.
   */
  snapshot(caller: Principal, responseId: string, atLeast = -1): Promise<Snapshot> {
    return this.#snapshots.get(caller, responseId, atLeast);
  }

  /**
   * Removes an ended response and its log.
   * @throws SluiceError `response_not_found`, `response_still_running`
   */
  remove(caller: Principal, responseId: string): Promise<void> {
    return removeResponse(caller, responseId, {
      reader: this,
      events: this.#events,
      responses: this.#responses,
      snapshots: this.#snapshots,
      terminalWithinMs: this.#terminalWithinMs,
    });
  }

  /** Lists the input items of a response. @throws SluiceError `response_not_found` */
  async inputItems(caller: Principal, responseId: string, query: ItemQuery): Promise<Page<Item>> {
    const input = (await this.#stored(caller, responseId))?.input ?? (await this.#head(caller, responseId))?.input;
    if (input === undefined) throw responseNotFound();
    const items = input.map(({ item }) => withAuthor(item));
    if (query.order === 'desc') items.reverse();
    const start = query.after === undefined ? 0 : items.findIndex((item) => item.id === query.after) + 1;
    return { data: items.slice(start, start + query.limit), hasMore: items.length > start + query.limit };
  }

  /**
   * Returns whether a response of this caller is running or ended.
   * @throws SluiceError `response_not_found`
   */
  async status(caller: Principal, responseId: string): Promise<'running' | 'ended'> {
    const page = await this.#events.read(responseId, -1, 0);
    if (page !== undefined && reaches(caller, page.head.owner, page.head.conversationId))
      return page.ended ? 'ended' : 'running';
    if ((await this.#stored(caller, responseId)) === undefined) throw responseNotFound();
    return 'ended';
  }

  /**
   * Whether an end of the response was stored, also if a client has deleted it since.
   * @throws SluiceError `state_unavailable`
   */
  async hasEnded(responseId: string): Promise<boolean> {
    return this.#responses.hasEnded(responseId);
  }

  /**
   * Returns the status of a response, reading only its newest event.
   * @throws SluiceError `response_not_found`
   */
  async currentStatus(caller: Principal, responseId: string): Promise<ResponseStatus> {
    const page = await this.#events.read(responseId, -1, 0);
    if (page !== undefined && reaches(caller, page.head.owner, page.head.conversationId)) {
      // Past its first two events a running response can only be in progress.
      if (!page.ended && page.last > 1) return 'in_progress';
      const newest = (await this.#events.read(responseId, page.last - 1, 1))?.events[0];
      if (newest?.type === 'response.completed') return 'completed';
      if (newest?.type === 'response.failed') return 'failed';
      const event = newest === undefined ? undefined : parseLogged(newest);
      if (event !== undefined && 'response' in event) return event.response.status;
    }
    return (await this.retrieve(caller, responseId)).status;
  }

  /**
   * Returns the sequence number of the newest event. Undefined if there is no log, or the response
   * is not this caller's.
   */
  async lastSequence(caller: Principal, responseId: string): Promise<number | undefined> {
    const page = await this.#events.read(responseId, -1, 0);
    return page !== undefined && reaches(caller, page.head.owner, page.head.conversationId) ? page.last : undefined;
  }

  async #head(caller: Principal, responseId: string): Promise<LogHead | undefined> {
    const page = await this.#events.read(responseId, -1, 0);
    return page !== undefined && reaches(caller, page.head.owner, page.head.conversationId) ? page.head : undefined;
  }

  async #stored(caller: Principal, responseId: string): Promise<StoredResponse | undefined> {
    const stored = await this.#responses.get(responseId);
    return stored !== undefined && reaches(caller, stored.owner, stored.response.conversation?.id ?? null)
      ? stored
      : undefined;
  }

  async #endsAt(caller: Principal, responseId: string, after: number): Promise<boolean> {
    const page = await this.#events.read(responseId, after, 1);
    return (
      page !== undefined &&
      reaches(caller, page.head.owner, page.head.conversationId) &&
      page.ended &&
      page.last === after
    );
  }
}
