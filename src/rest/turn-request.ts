/*
 * Reads the fields of a request, beside its body, that both routes for turns share. Marks requests
 * that have a turn.
 */

import { type FastifyRequest } from 'fastify';
import { type ResponseRequest } from '../domain/request.js';
import { requestFingerprint } from '../protocol/idempotency-key.js';
import { type IdempotencyUse } from '../turn/idempotency.js';
import { type TurnOrigin } from '../turn/turn.js';
import { readIdempotencyKey } from './queries.js';

export function originOf(request: FastifyRequest, path: string, delivery: TurnOrigin['delivery']): TurnOrigin {
  const traceparent = [request.headers['traceparent']].flat()[0];
  return { endpoint: path, method: 'POST', path, requestId: request.id, delivery, traceparent };
}

/** @returns undefined if the caller sent no key. @throws SluiceError if the key is invalid */
export function idempotencyOf(request: FastifyRequest, turnRequest: ResponseRequest): IdempotencyUse | undefined {
  const key = readIdempotencyKey(request.headers['idempotency-key']);
  return key === undefined ? undefined : { key, fingerprint: requestFingerprint(turnRequest) };
}

/** Requests that have a turn. */
const withTurn = new WeakSet<FastifyRequest>();

/**
 * Marks a request as having a turn. The turn counts its own end, so later errors are errors of the
 * answer only.
 */
export function noteTurn(request: FastifyRequest): void {
  withTurn.add(request);
}

/** Whether a request has a turn. */
export function hasTurn(request: FastifyRequest): boolean {
  return withTurn.has(request);
}
