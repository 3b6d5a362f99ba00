/* What both routes that ask for a turn read of their request beside its body. */

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

/** Undefined: the caller gave no key. @throws SluiceError where the key is none */
export function idempotencyOf(request: FastifyRequest, asked: ResponseRequest): IdempotencyUse | undefined {
  const key = readIdempotencyKey(request.headers['idempotency-key']);
  return key === undefined ? undefined : { key, fingerprint: requestFingerprint(asked) };
}

/** Requests whose turn has been created. */
const withTurn = new WeakSet<FastifyRequest>();

/** Notes that a request has its turn. The turn counts its own end: whatever fails after this is the failure of an answer only. */
export function noteTurn(request: FastifyRequest): void {
  withTurn.add(request);
}

/** Whether a turn was created for a request. */
export function hasTurn(request: FastifyRequest): boolean {
  return withTurn.has(request);
}
