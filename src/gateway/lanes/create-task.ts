/*
 * Runs a `response.create` in its lane: creates the response when the tasks before it have ended,
 * and follows it to its end.
 */

import { asSluiceError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import { type Principal } from '../../domain/principal.js';
import { type ResponseRequest } from '../../domain/request.js';
import { type Time } from '../../domain/time.js';
import { requestFingerprint } from '../../protocol/idempotency-key.js';
import { onBehalfOf } from '../../turn/caller-rules.js';
import { retryWhileUnavailable } from '../../turn/retry-while-unavailable.js';
import { type TurnService } from '../../turn/turn.service.js';
import { type UnstoredResponses } from '../../turn/unstored-responses.js';
import { type EventAudit } from '../event-audit.js';
import { type FollowedResponses } from '../following/followed-responses.js';
import { type Refusals } from '../refusals.js';
import { type ConnectionTask } from './lanes.js';

export interface Creation {
  /** The principal of the connection when the frame arrived. */
  readonly caller: Principal;
  readonly request: ResponseRequest;
  readonly streamId: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly traceparent: string | undefined;
  readonly clientRequestId: string | undefined;
  /** Number of the frame, by which `followed` decides between creates and resumes. */
  readonly frame: number;
}

/** What a task needs of the connection that it belongs to. */
export interface CreateParts {
  readonly turns: Pick<TurnService, 'create' | 'cancel'>;
  readonly refusals: Refusals;
  readonly audit: Pick<EventAudit, 'turn'>;
  /** The responses that only this connection remembers. */
  readonly unstored: UnstoredResponses;
  readonly time: Time;
  /** Whether the socket is gone. */
  closed(): boolean;
  /** Called with the response's id before any other client can know it. */
  created(responseId: string): void;
  readonly followed: Pick<FollowedResponses, 'followToEnd'>;
  /** Called when the task has ended. */
  ended(): void;
}

export class CreateTask implements ConnectionTask {
  readonly #parts: CreateParts;
  readonly #creation: Creation;
  readonly #aborted = new AbortController();
  #responseId: string | undefined;
  #joined = false;
  #cancelled = false;

  constructor(creation: Creation, parts: CreateParts) {
    this.#parts = parts;
    this.#creation = creation;
  }

  get responseId(): string | undefined {
    return this.#responseId;
  }

  get creates(): boolean {
    return !this.#joined;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#aborted.abort();
  }

  abandon(): void {
    this.#aborted.abort();
  }

  async run(): Promise<void> {
    const { closed, followed, refusals, ended } = this.#parts;
    const { caller, streamId, frame } = this.#creation;
    try {
      // Skip tasks still queued when the socket closed.
      if (closed()) return;
      this.#responseId = await this.#create();
      if (this.#responseId !== undefined) await followed.followToEnd(caller, this.#responseId, streamId, frame);
    } catch (thrown) {
      refusals.send(asSluiceError(thrown), streamId);
    } finally {
      ended();
    }
  }

  /** @returns the response's id, or undefined if it was refused and the client has the error */
  async #create(): Promise<string | undefined> {
    const { turns, refusals, audit, unstored, created, time } = this.#parts;
    const { caller, request, streamId, idempotencyKey, traceparent, clientRequestId } = this.#creation;
    const origin = {
      endpoint: 'ws',
      method: 'WS',
      path: '/v1/responses',
      requestId: newId('req', time),
      clientRequestId,
      delivery: 'stream',
      traceparent,
    } as const;
    const startedAt = time.now();
    const idempotency =
      idempotencyKey === undefined
        ? {}
        : { idempotency: { key: idempotencyKey, fingerprint: requestFingerprint(request) } };
    try {
      const options = { signal: this.#aborted.signal, onResponse: created, unstored, ...idempotency };
      const { responseId, joined } = await turns.create(caller, request, origin, options);
      this.#joined = joined;
      const about = { id: responseId, conversation: request.conversation };
      audit.turn(onBehalfOf(caller, request), about, joined);
      // A cancel of the lane may arrive before the response is known. The signal does not end a
      // response that was joined, which would run on, so its cancel is requested now.
      if (joined && this.#cancelled)
        retryWhileUnavailable(() => turns.cancel(caller, responseId), { time }).catch(() => undefined);
      return responseId;
    } catch (thrown) {
      const error = asSluiceError(thrown);
      refusals.count(error);
      if (!error.retryable) unstored.forget(request.previousResponseId ?? '');
      refusals.sendCreate(error, { caller, streamId, clientRequestId, requestId: origin.requestId, startedAt });
      return undefined;
    }
  }
}
