/*
 * Shared by both routes that create a turn: reads the idempotency key and `on_disconnect`, creates
 * the turn, and answers with its failure.
 */

import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { errorBody, errorHeaders } from '../protocol/errors.js';
import { type TurnOrigin } from '../turn/turn.js';
import { type TurnService } from '../turn/turn.service.js';
import { withLimitHeaders } from './limit-headers.js';
import { readOnDisconnect } from './queries.js';
import { goneSignal } from './streamed-answer.js';
import { idempotencyOf, originOf } from './turn-request.js';

export interface TurnToCreate {
  readonly route: string;
  readonly turnRequest: ResponseRequest;
  readonly delivery: TurnOrigin['delivery'];
}

/**
 * Creates a turn. A client that disconnects cancels it if the client requested that. This is the
 * default if no client could fetch the answer later: it is not stored and has no idempotency key.
 * @returns the id of the response
 * @throws SluiceError if the turn is refused before it has a response
 */
export async function createTurn(
  turns: TurnService,
  caller: Principal,
  { route, turnRequest, delivery }: TurnToCreate,
  reply: FastifyReply,
): Promise<string> {
  const { request }: { readonly request: FastifyRequest } = reply;
  const idempotency = idempotencyOf(request, turnRequest);
  const lost = !turnRequest.store && turnRequest.conversation === undefined && idempotency === undefined;
  const cancels = readOnDisconnect(request.query, turnRequest.background) ?? (lost ? 'cancel' : 'continue');
  const created = turns.create(caller, turnRequest, originOf(request, route, delivery), {
    ...(cancels === 'cancel' ? { signal: goneSignal(reply) } : {}),
    ...(idempotency === undefined ? {} : { idempotency }),
  });
  return (await withLimitHeaders(reply, created)).responseId;
}

/** Answers with the failure of a turn. Does not log it, because the turn already did. */
export function answerFailure(reply: FastifyReply, error: SluiceError): void {
  if (reply.raw.destroyed) return void reply.hijack();
  void reply.code(error.status).headers(errorHeaders(error)).send(errorBody(error));
}
