/*
 * Shared by both routes that create a turn: reads the idempotency key and `on_disconnect`, creates
 * the turn, and answers with its failure. Every answer to a request for a turn has the caller's
 * limits as headers with OpenAI's names, also if a limit refused it.
 */

import { type FastifyReply, type FastifyRequest } from 'fastify';
import { type SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { errorBody, errorHeaders, type UnansweredTurn } from '../protocol/errors.js';
import { onBehalfOf } from '../turn/caller-rules.js';
import { type TurnOrigin } from '../turn/turn.js';
import { type TurnService, type CreatedTurn } from '../turn/turn.service.js';
import { readOnDisconnect, readIdempotencyKey } from './queries.js';
import { goneSignal } from './streamed-answer.js';
import { requestFingerprint } from '../protocol/idempotency-key.js';
import { clientRequestIdOf } from './caller.js';
import { auditOf } from './request-audit.js';
import { type IdempotencyUse } from '../turn/idempotency.js';
import { LimitRefusal, type LimitState, type LimitStates } from '../turn/turn-limits.js';

export interface TurnToCreate {
  readonly route: string;
  readonly turnRequest: ResponseRequest;
  readonly delivery: TurnOrigin['delivery'];
  /** Whether errors must not name the response, because its events are not for the caller. */
  readonly hidden?: boolean;
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
  { route, turnRequest, delivery, hidden = false }: TurnToCreate,
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
  const { responseId, joined } = await withLimitHeaders(reply, created);
  noteTurn(request, { responseId: hidden ? null : responseId, joins: idempotency !== undefined });
  const about = { id: responseId, conversation: turnRequest.conversation };
  auditOf(request)?.turn(onBehalfOf(caller, turnRequest), about, joined);
  return responseId;
}

/** Answers with the failure of a turn. Does not log it, because the turn already did. */
export function answerFailure(reply: FastifyReply, error: SluiceError): void {
  if (reply.raw.destroyed) return void reply.hijack();
  void reply.code(error.status).headers(errorHeaders(error)).send(errorBody(error));
}

function originOf(request: FastifyRequest, path: string, delivery: TurnOrigin['delivery']): TurnOrigin {
  const traceparent = [request.headers['traceparent']].flat()[0];
  const clientRequestId = clientRequestIdOf(request);
  return { endpoint: path, method: 'POST', path, requestId: request.id, clientRequestId, delivery, traceparent };
}

/**
 * Returns the idempotency key of a request and the digest of its body, or undefined if the caller
 * sent no key.
 * @throws SluiceError `invalid_value` if the key is invalid
 */
function idempotencyOf(request: FastifyRequest, turnRequest: ResponseRequest): IdempotencyUse | undefined {
  const key = readIdempotencyKey(request.headers['idempotency-key']);
  return key === undefined ? undefined : { key, fingerprint: requestFingerprint(turnRequest) };
}

type TurnOfRequest = Pick<UnansweredTurn, 'responseId' | 'joins'>;

const turnsOf = new WeakMap<FastifyRequest, TurnOfRequest>();

/**
 * Sets the turn of a request. The turn counts its own end, so later errors are errors of the answer
 * only.
 */
function noteTurn(request: FastifyRequest, turn: TurnOfRequest): void {
  turnsOf.set(request, turn);
}

/** Returns the turn of a request, or undefined if it has none. */
export function turnOf(request: FastifyRequest): TurnOfRequest | undefined {
  return turnsOf.get(request);
}

const KINDS = ['requests', 'tokens'] as const;

/** The names of the limit headers. CORS allows pages to read them. */
export const LIMIT_HEADERS: readonly string[] = KINDS.flatMap((kind) =>
  ['limit', 'remaining', 'reset'].map((what) => `x-ratelimit-${what}-${kind}`),
);

/**
 * Sets the headers of `reply` from the limits that `created` carries. Resolves and rejects like
 * `created`.
 */
async function withLimitHeaders(reply: FastifyReply, created: Promise<CreatedTurn>): Promise<CreatedTurn> {
  try {
    const turn = await created;
    void reply.headers(limitHeaders(turn.limits));
    return turn;
  } catch (thrown) {
    if (thrown instanceof LimitRefusal) void reply.headers(limitHeaders(thrown.limits));
    throw thrown;
  }
}

function limitHeaders(limits: LimitStates): Record<string, string> {
  return Object.fromEntries(
    KINDS.flatMap((kind) => {
      const state: LimitState | undefined = limits[kind];
      if (state === undefined) return [];
      return [
        [`x-ratelimit-limit-${kind}`, String(state.limit)],
        [`x-ratelimit-remaining-${kind}`, String(state.remaining)],
        [`x-ratelimit-reset-${kind}`, durationText(state.resetMs)],
      ];
    }),
  );
}

/** Formats a duration as `1s`, `6m0s` or `1h0m0s`: whole seconds, rounded up. */
function durationText(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  const rest = `${minutes % 60}m${seconds % 60}s`;
  return minutes < 60 ? rest : `${Math.floor(minutes / 60)}h${rest}`;
}
