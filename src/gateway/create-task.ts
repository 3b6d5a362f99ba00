/* The tasks of a lane: a response to be created and told to its end, an error in its place, a resumed response to be waited for. */

import { asSluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type ResponseRequest } from '../domain/request.js';
import { requestFingerprint } from '../protocol/idempotency-key.js';
import { type Connection } from './connection.js';
import { type LaneTask } from './lane.js';

export interface Creation {
  readonly request: ResponseRequest;
  readonly streamId: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly traceparent: string | undefined;
}

/** `response.create`: from the lane's head to its response's terminal event. */
export class CreateTask implements LaneTask {
  readonly #connection: Connection;
  readonly #creation: Creation;
  readonly #cancelled = new AbortController();
  #responseId: string | undefined;

  constructor(connection: Connection, creation: Creation) {
    this.#connection = connection;
    this.#creation = creation;
  }

  /** Cancels it whether it runs or still waits. */
  cancel(): void {
    this.#cancelled.abort();
    // With an idempotency key the turn may be somebody else's start, which the signal does not reach.
    if (this.#responseId !== undefined) cancelQuietly(this.#connection, this.#responseId);
  }

  async run(): Promise<void> {
    const connection = this.#connection;
    const { streamId } = this.#creation;
    try {
      // What still waited in a lane when its socket closed was never started, and is not started for nobody.
      if (connection.closed) return;
      const responseId = await this.#create();
      if (responseId === undefined) return;
      this.#responseId = responseId;
      await connection.followToEnd(responseId, -1, streamId);
    } catch (thrown) {
      connection.refuse(asSluiceError(thrown), streamId);
    } finally {
      connection.release();
    }
  }

  /** Undefined: it was refused, and the client told. */
  async #create(): Promise<string | undefined> {
    const connection = this.#connection;
    const { request, streamId, idempotencyKey, traceparent = connection.traceparent } = this.#creation;
    const origin = {
      endpoint: 'ws',
      method: 'WS',
      path: '/v1/responses',
      requestId: newId('req'),
      delivery: 'stream',
      traceparent,
    } as const;
    const startedAt = performance.now();
    const idempotency =
      idempotencyKey === undefined
        ? {}
        : { idempotency: { key: idempotencyKey, fingerprint: requestFingerprint(request) } };
    try {
      const options = {
        signal: this.#cancelled.signal,
        onResponse: (responseId: string) => connection.own(responseId),
        ...idempotency,
      };
      return (await connection.parts.turns.create(connection.principal, request, origin, options)).responseId;
    } catch (thrown) {
      const error = asSluiceError(thrown);
      connection.countRefusal(error);
      connection.refuseCreate(error, streamId, origin.requestId, startedAt);
      return undefined;
    }
  }
}

/** An error that keeps the lane's order: what is told in its place. */
export class ErrorTask implements LaneTask {
  readonly #tell: () => void;

  constructor(tell: () => void) {
    this.#tell = tell;
  }

  async run(): Promise<void> {
    this.#tell();
  }

  cancel(): void {
    return;
  }
}

/** A response that was resumed into the lane: what is asked next there comes after it. Its refusal is told in its place. */
export class WaitTask implements LaneTask {
  readonly #connection: Connection;
  readonly #at: { readonly responseId: string; readonly streamId: string | undefined };
  readonly #end: Promise<void>;

  constructor(connection: Connection, at: { responseId: string; streamId: string | undefined }, end: Promise<void>) {
    this.#connection = connection;
    this.#at = at;
    this.#end = end;
    // It may be refused before its place in the lane has come.
    end.catch(() => undefined);
  }

  async run(): Promise<void> {
    await this.#end.catch((thrown: unknown) => this.#connection.refuse(asSluiceError(thrown), this.#at.streamId));
  }

  cancel(): void {
    cancelQuietly(this.#connection, this.#at.responseId);
  }
}

/** Viewers hear of a cancel by the terminal event; one that cannot be asked for changes nothing for them. */
function cancelQuietly(connection: Connection, responseId: string): void {
  connection.parts.turns.cancel(connection.principal, responseId).catch(() => undefined);
}
