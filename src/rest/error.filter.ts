/*
 * Answers every error of every route in OpenAI's shape. Unexpected errors are logged in full and
 * not shown to the client.
 */

import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';

import { asSluiceError, type ErrorCode, SluiceError } from '../domain/errors.js';
import { type Log } from '../observability/log.js';
import { errorBody, errorHeaders, UnansweredTurn } from '../protocol/errors.js';
import { type RefusedTurn } from '../turn/turn-report.js';
import { callerOf, clientRequestIdOf } from './caller.js';
import { createsTurn } from './operation.guard.js';
import { auditOf } from './request-audit.js';
import { bodyTooLarge } from './request-gate.js';
import { noRoute, type RouteTable } from './route-table.js';
import { turnOf } from './create-turn.js';

export interface ErrorFilterParts {
  readonly logger: Log;
  readonly routes: RouteTable;
  /** Called for each refused request for a turn, to count and log it like a turn. */
  readonly refused: (request: RefusedTurn) => void;
  /** Called for each other refused request. */
  readonly refusedOther: (error: SluiceError) => void;
  /**
   * Called for each request that its sender should not have sent, to count it against the sender.
   */
  readonly mistake: (request: FastifyRequest) => void;
}

/**
 * Refusals that do not count against the sender: the request was correct, but the gateway could not
 * serve it now.
 */
const NO_MISTAKE: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'too_many_responses',
  'conversation_busy',
  'response_still_running',
]);

@Catch()
export class ErrorFilter implements ExceptionFilter {
  readonly #parts: ErrorFilterParts;

  constructor(parts: ErrorFilterParts) {
    this.#parts = parts;
  }

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const turn = turnOf(request);
    const refusal = this.#errorOf(thrown, request);
    const error = turn === undefined ? refusal : new UnansweredTurn(refusal, turn);
    this.#report(error, request, reply);
    if (reply.sent || reply.raw.headersSent) {
      // Part of the answer is sent, so only a broken connection still signals the failure.
      reply.raw.destroy();
      return;
    }
    const allow = error.code === 'method_not_allowed' ? { allow: this.#methodsAt(request).join(', ') } : {};
    void reply
      .code(error.status)
      .headers({ ...errorHeaders(error), ...allow })
      .send(errorBody(error));
  }

  #errorOf(thrown: unknown, request: FastifyRequest): SluiceError {
    if (thrown instanceof SluiceError) return thrown;
    // The client disconnected, or sent an incomplete body.
    if (request.raw.destroyed && !request.raw.complete) return incompleteBody();
    const status = statusOf(thrown);
    switch (status) {
      case 404:
        return noRoute(this.#parts.routes, request.url);
      case 413:
        return bodyTooLarge();
      case 415:
        return new SluiceError(
          'unsupported_media_type',
          'unable to read the request; its content type is not served; send application/json',
        );
      default:
        if (status === undefined || status >= 500) return asSluiceError(thrown);
        return new SluiceError('invalid_request', 'unable to read the request; it is malformed', { cause: thrown });
    }
  }

  #methodsAt(request: FastifyRequest): string[] {
    const [path = ''] = request.url.split('?', 1);
    return this.#parts.routes.methodsAt(path);
  }

  #report(error: SluiceError, request: FastifyRequest, reply: FastifyReply): void {
    const endpoint = request.routeOptions.url ?? 'unknown';
    const { id: requestId, method } = request;
    auditOf(request)?.refused(error);
    if (isMistake(error, request)) this.#parts.mistake(request);
    if (!createsTurn(request)) this.#parts.refusedOther(error);
    if (createsTurn(request) && turnOf(request) === undefined) {
      const durationMs = Math.round(reply.elapsedTime);
      this.#parts.refused({
        requestId,
        clientRequestId: clientRequestIdOf(request),
        method,
        endpoint,
        caller: callerOf(request),
        address: request.ip,
        durationMs,
        error,
      });
    } else if (error.status >= 500) {
      this.#parts.logger.error({ request_id: requestId, method, path: endpoint, err: error }, 'request failed');
    }
  }
}

/**
 * Whether a refusal counts against its sender. An operation on something that does not exist (404)
 * or is no longer stored (410) does not: a client may poll for an id that does not exist yet, and
 * the limit on operations already counts it. A body that was cut off does not either, because its
 * sender may have lost its network.
 */
function isMistake({ status, code }: SluiceError, request: FastifyRequest): boolean {
  if (status >= 500 || NO_MISTAKE.has(code)) return false;
  if (request.raw.destroyed && !request.raw.complete) return false;
  const looksUp = callerOf(request) !== undefined && !createsTurn(request);
  return !(looksUp && (status === 404 || status === 410));
}

/**
 * Returns the HTTP status of an error that Nest or Fastify raised, or undefined for any other
 * error.
 */
function statusOf(thrown: unknown): number | undefined {
  if (thrown instanceof HttpException) return thrown.getStatus();
  if (thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number')
    return thrown.statusCode;
  return undefined;
}

function incompleteBody(): SluiceError {
  return new SluiceError('invalid_request', 'unable to read the request; the body is incomplete');
}
