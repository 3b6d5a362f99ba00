/*
 * Snapshots of responses: the part that a log holds, or the stored response if the log is gone.
 * Viewers share what is read.
 */

import { type LoggedEvent, serialize } from '../domain/event.js';
import { type Principal, reaches } from '../domain/principal.js';
import { type Time } from '../domain/time.js';
import { type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { foldLog, terminalOf } from './logged-response.js';
import { responseNotFound } from './response-errors.js';
import { SnapshotCache } from './snapshot-cache.js';

export interface Snapshot {
  readonly owner: string;
  readonly conversationId: string | null;
  /** The response as JSON in UTF-8. Shared by all viewers that receive it: do not write to it. */
  readonly json: Buffer;
  /** The last event that the response contains; for an ended one the event before its terminal. */
  readonly sequence: number;
  /** The terminal event, if the log is gone and the response comes from the store. */
  readonly terminal: LoggedEvent | null;
}

export class ResponseSnapshots {
  readonly #events: Pick<EventLog, 'read'>;
  readonly #responses: Pick<ResponseStore, 'get'>;
  readonly #time: Time;
  readonly #cache: SnapshotCache<Snapshot>;

  constructor(events: Pick<EventLog, 'read'>, responses: Pick<ResponseStore, 'get'>, time: Time) {
    this.#events = events;
    this.#responses = responses;
    this.#time = time;
    this.#cache = new SnapshotCache({ time });
  }

  /**
   * Returns a snapshot for a viewer that is far behind. Viewers that request one within a second
   * share it.
   * @param atLeast number of an event that it must contain; −1: any snapshot will do
   * @throws SluiceError `response_not_found`
   */
  async get(caller: Principal, responseId: string, atLeast: number): Promise<Snapshot> {
    const snapshot = await this.#cache.get(responseId, atLeast, () => this.#read(responseId));
    if (snapshot === undefined || !reaches(caller, snapshot.owner, snapshot.conversationId)) throw responseNotFound();
    return snapshot;
  }

  /** Drops the snapshot of a deleted response. */
  forget(responseId: string): void {
    this.#cache.forget(responseId);
  }

  async #read(responseId: string): Promise<Snapshot | undefined> {
    const options = { time: this.#time, reachable: () => true, beforeTerminal: true };
    const folded = await foldLog(this.#events, responseId, options);
    if (folded !== undefined) {
      const { owner, response, sequence } = folded;
      return {
        owner,
        conversationId: response.conversation?.id ?? null,
        json: Buffer.from(JSON.stringify(response)),
        sequence,
        terminal: null,
      };
    }
    const stored = await this.#responses.get(responseId);
    if (stored === undefined) return undefined;
    const { owner, response, terminalSequence } = stored;
    const terminal = serialize(terminalOf(response), terminalSequence);
    return {
      owner,
      conversationId: response.conversation?.id ?? null,
      json: Buffer.from(JSON.stringify(response)),
      sequence: terminalSequence - 1,
      terminal,
    };
  }
}
