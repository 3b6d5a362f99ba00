/*
 * Everything one may read of responses: as they stand, their events from any number on, a snapshot of the part already told.
 * Owners are compared here, once: what is somebody else's answers exactly like what does not exist.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { SluiceError } from '../domain/errors.js';
import { isTerminal, type LoggedEvent, type ResponseEvent, serialize, type TerminalEvent } from '../domain/event.js';
import { type Item } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { isEnded, type ResponseObject, type ResponseStatus, type StoredResponse } from '../domain/response.js';
import { systemTime, type Time } from '../domain/time.js';
import { type ItemQuery, type Page, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog, type LogHead } from '../state/event-log.js';
import { type FollowHub } from '../state/follow/follow-hub.js';
import { batches, type Viewer } from '../state/follow/viewer.js';
import { invalidCursor, responseExpired, responseNotFound, stillRunning } from './response-errors.js';
import { SnapshotCache } from './snapshot-cache.js';

const PAGE = 500;
const TERMINAL_WITHIN_MS = 2_000;

export interface Snapshot {
  readonly owner: string;
  /** The response as JSON in UTF-8. Shared by all viewers that receive it: do not write to it. */
  readonly json: Buffer;
  /** The last event that the response contains; for an ended one the event before its terminal. */
  readonly sequence: number;
  /** The terminal event, where the log is gone and the response comes from the store. */
  readonly terminal: LoggedEvent | null;
}

type OnFollowed = (responseId: string, after: number, caller: Principal) => void;

export interface ResponseReaderOptions {
  /** How long a delete waits for the terminal of a response that is kept already, in milliseconds. */
  readonly terminalWithinMs?: number;
  /** Told of each reading that begins: for the log. */
  readonly onFollowed?: OnFollowed;
  readonly time?: Time;
}

export class ResponseReader {
  readonly #log: EventLog;
  readonly #hub: FollowHub;
  readonly #responses: ResponseStore;
  readonly #terminalWithinMs: number;
  readonly #onFollowed: OnFollowed | undefined;
  readonly #time: Time;
  readonly #snapshots: SnapshotCache<Snapshot>;

  constructor(log: EventLog, hub: FollowHub, responses: ResponseStore, options: ResponseReaderOptions = {}) {
    this.#log = log;
    this.#hub = hub;
    this.#responses = responses;
    this.#terminalWithinMs = options.terminalWithinMs ?? TERMINAL_WITHIN_MS;
    this.#onFollowed = options.onFollowed;
    this.#time = options.time ?? systemTime;
    this.#snapshots = new SnapshotCache({ time: this.#time });
  }

  /** The response as it stands. @throws `response_not_found` */
  async retrieve(caller: Principal, responseId: string): Promise<ResponseObject> {
    const stored = await this.#stored(caller, responseId);
    if (stored !== undefined) return stored.response;
    const folded = await this.#fold(responseId, (owner) => reaches(caller, owner));
    if (folded === undefined) throw responseNotFound();
    return folded.response;
  }

  /**
   * A viewer from event `after` + 1 on.
   * @throws `response_not_found`, `response_expired` (its log is gone, the stored response is not), `invalid_cursor`
   */
  async open(caller: Principal, responseId: string, after: number, wake: () => void): Promise<Viewer> {
    const viewer = await this.#hub.open(responseId, after, wake);
    if (viewer === undefined || !reaches(caller, viewer.head.owner)) {
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

  /** Past events, then live ones, in batches, up to the terminal. Throws like `open`, and `response_expired` where the log goes away. */
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
   * Events from the start, for a request that may have been sent before. If the events are gone and the response is stored, only how it began and
   * its terminal. Throws like `events`.
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

  /** The ended response; after `waitMs` milliseconds the response as it is then. Reads no events but the newest ones. */
  async settled(caller: Principal, responseId: string, signal: AbortSignal, waitMs?: number): Promise<ResponseObject> {
    const timeout = new AbortController();
    const stop = waitMs === undefined ? undefined : this.#time.after(waitMs, () => timeout.abort());
    try {
      const bounded = stop === undefined ? signal : AbortSignal.any([signal, timeout.signal]);
      const last = (await this.lastSequence(caller, responseId)) ?? -1;
      // From the newest event on, so that a response that has ended meanwhile still shows its terminal event.
      for await (const events of this.events(caller, responseId, Math.max(-1, last - 1), bounded)) {
        const newest = events.at(-1);
        if (newest !== undefined && isTerminal(newest.type)) return responseIn(newest);
      }
    } catch (error) {
      if (!(error instanceof SluiceError && error.code === 'response_expired')) throw error;
    } finally {
      stop?.();
    }
    return this.retrieve(caller, responseId);
  }

  /**
   * The part of a response that its log holds, for a viewer that is far behind. Viewers that ask within a second share it.
   * @param atLeast number of an event that it must contain; −1: any snapshot will do
   * @throws SluiceError `response_not_found`
   */
  async snapshot(caller: Principal, responseId: string, atLeast = -1): Promise<Snapshot> {
    const snapshot = await this.#snapshots.get(responseId, atLeast, () => this.#readSnapshot(responseId));
    if (snapshot === undefined || !reaches(caller, snapshot.owner)) throw responseNotFound();
    return snapshot;
  }

  async #readSnapshot(responseId: string): Promise<Snapshot | undefined> {
    const folded = await this.#fold(responseId, () => true, true);
    if (folded !== undefined) {
      const { owner, response, sequence } = folded;
      return { owner, json: Buffer.from(JSON.stringify(response)), sequence, terminal: null };
    }
    const stored = await this.#responses.get(responseId);
    if (stored === undefined) return undefined;
    const { owner, response, terminalSequence } = stored;
    const terminal = serialize(terminalOf(response), terminalSequence);
    return { owner, json: Buffer.from(JSON.stringify(response)), sequence: terminalSequence - 1, terminal };
  }

  /** What the response was asked. @throws `response_not_found` */
  async inputItems(caller: Principal, responseId: string, query: ItemQuery): Promise<Page<Item>> {
    const input = (await this.#stored(caller, responseId))?.input ?? (await this.#head(caller, responseId))?.input;
    if (input === undefined) throw responseNotFound();
    const items = input.map((stored) => stored.item);
    if (query.order === 'desc') items.reverse();
    const start = query.after === undefined ? 0 : items.findIndex((item) => item.id === query.after) + 1;
    return { data: items.slice(start, start + query.limit), hasMore: items.length > start + query.limit };
  }

  /**
   * Removes a response that has ended, and its log. One that is kept and whose terminal is just being told is waited for: nobody who
   * watches it goes without. @throws `response_not_found`, `response_still_running`
   */
  async remove(caller: Principal, responseId: string): Promise<void> {
    const kept = isEnded((await this.retrieve(caller, responseId)).status);
    if (kept && (await this.status(caller, responseId)) === 'running') {
      await this.settled(caller, responseId, new AbortController().signal, this.#terminalWithinMs);
    }
    if ((await this.status(caller, responseId)) === 'running') {
      throw stillRunning();
    }
    await this.#responses.delete(responseId);
    await this.#log.delete(responseId);
    this.#snapshots.forget(responseId);
  }

  /** Is there a running or ended response of this caller by that id? @throws `response_not_found` */
  async status(caller: Principal, responseId: string): Promise<'running' | 'ended'> {
    const page = await this.#log.read(responseId, -1, 0);
    if (page !== undefined && reaches(caller, page.head.owner)) return page.ended ? 'ended' : 'running';
    if ((await this.#stored(caller, responseId)) === undefined) throw responseNotFound();
    return 'ended';
  }

  /** The status of a response, at the cost of its newest event. @throws SluiceError `response_not_found` */
  async currentStatus(caller: Principal, responseId: string): Promise<ResponseStatus> {
    const page = await this.#log.read(responseId, -1, 0);
    if (page !== undefined && reaches(caller, page.head.owner)) {
      // Past its first two events a running response can only be in progress.
      if (!page.ended && page.last > 1) return 'in_progress';
      const newest = (await this.#log.read(responseId, page.last - 1, 1))?.events[0];
      if (newest?.type === 'response.completed') return 'completed';
      if (newest?.type === 'response.failed') return 'failed';
      const event = newest === undefined ? undefined : parseLogged(newest);
      if (event !== undefined && 'response' in event) return event.response.status;
    }
    return (await this.retrieve(caller, responseId)).status;
  }

  /** Number of the newest event of a response whose log exists; undefined: it has none (yet, or any more), or is not this caller's. */
  async lastSequence(caller: Principal, responseId: string): Promise<number | undefined> {
    const page = await this.#log.read(responseId, -1, 0);
    return page !== undefined && reaches(caller, page.head.owner) ? page.last : undefined;
  }

  async #head(caller: Principal, responseId: string): Promise<LogHead | undefined> {
    const page = await this.#log.read(responseId, -1, 0);
    return page !== undefined && reaches(caller, page.head.owner) ? page.head : undefined;
  }

  async #stored(caller: Principal, responseId: string): Promise<StoredResponse | undefined> {
    const stored = await this.#responses.get(responseId);
    return stored !== undefined && reaches(caller, stored.owner) ? stored : undefined;
  }

  async #endsAt(caller: Principal, responseId: string, after: number): Promise<boolean> {
    const page = await this.#log.read(responseId, after, 1);
    return page !== undefined && reaches(caller, page.head.owner) && page.ended && page.last <= after;
  }

  /**
   * Folds a log into its response, a page in each round of the event loop.
   * @param reachable whether the caller may see what this owner has
   * @param beforeTerminal leaves the terminal event out
   */
  async #fold(
    responseId: string,
    reachable: (owner: string) => boolean,
    beforeTerminal = false,
  ): Promise<{ owner: string; response: ResponseObject; sequence: number } | undefined> {
    let accumulator: ResponseAccumulator | undefined;
    let sequence = -1;
    for (;;) {
      const page = await this.#log.read(responseId, sequence, PAGE);
      if (page === undefined || !reachable(page.head.owner)) return undefined;
      for (const logged of page.events) {
        if (beforeTerminal && isTerminal(logged.type)) break;
        const event = parseLogged(logged);
        if ('response' in event) accumulator ??= new ResponseAccumulator(event.response);
        accumulator?.apply(event);
        sequence = logged.sequence;
      }
      if ((page.events.at(-1)?.sequence ?? page.last) >= page.last) {
        const { owner } = page.head;
        return accumulator === undefined ? undefined : { owner, response: accumulator.response(), sequence };
      }
      await new Promise<void>((resolve) => this.#time.soon(resolve));
    }
  }
}

/** An ended response as it was when it began. */
function asBegun(response: ResponseObject): ResponseObject {
  const nothingYet = {
    completed_at: null,
    error: null,
    incomplete_details: null,
    usage: null,
    output: [],
    output_text: '',
  };
  return {
    ...response,
    ...nothingYet,
    status: 'in_progress',
    sluice: { ...response.sluice, kept: null, findings: [] },
  };
}

/** A logged event's own words again. The log holds only what `serialize` wrote, so its shape is known. */
export function parseLogged(logged: LoggedEvent): ResponseEvent {
  return JSON.parse(logged.json) as ResponseEvent;
}

function responseIn(logged: LoggedEvent): ResponseObject {
  const event = parseLogged(logged);
  if (!('response' in event)) throw new Error(`unable to read a response from ${logged.type}`);
  return event.response;
}

/** The terminal event that an ended response was told by. */
export function terminalOf(response: ResponseObject): TerminalEvent {
  if (response.status === 'completed') return { type: 'response.completed', response };
  if (response.status === 'failed') return { type: 'response.failed', response };
  return { type: 'response.incomplete', response };
}
