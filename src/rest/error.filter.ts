/* Every error of every route, known or not, in OpenAI's shape; whatever nobody foresaw goes to the log, not to the client. */

import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { type FastifyReply, type FastifyRequest } from 'fastify';

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type Log } from '../observability/log.js';
import { errorBody, retryHeaders } from '../protocol/errors.js';
import { type RefusedTurn } from '../turn/report.js';
import { callerOf } from './caller.guard.js';
import { asksForTurn } from './operation.guard.js';
import { type RouteTable } from './route-table.js';
import { hasTurn } from './turn-request.js';

export interface ErrorFilterParts {
  readonly log: Log;
  readonly routes: RouteTable;
  /** Told of each refused request for a turn, to count and log it as turns are. */
  readonly refused: (request: RefusedTurn) => void;
}

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
    const error = this.#errorOf(thrown, request);
    this.#report(error, request, reply);
    if (reply.sent || reply.raw.headersSent) {
      // Half an answer is out: a broken connection is the only honest end.
      reply.raw.destroy();
      return;
    }
    const allow = error.code === 'method_not_allowed' ? { allow: this.#methodsAt(request).join(', ') } : {};
    void reply
      .code(error.status)
      .headers({ ...retryHeaders(error), ...allow })
      .send(errorBody(error));
  }

  #errorOf(thrown: unknown, request: FastifyRequest): SluiceError {
    if (thrown instanceof SluiceError) return thrown;
    // Its sender is gone, or sent something that is no body.
    if (request.raw.destroyed && !request.raw.complete) return cutShort();
    const status = statusOf(thrown);
    switch (status) {
      case 404:
        return this.#methodsAt(request).length > 0 ? methodNotAllowed() : notFound();
      case 413:
        return new SluiceError(
          'payload_too_large',
          'unable to read the request; its body is larger than `http.max_body_bytes` allows; send less',
        );
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
    if (asksForTurn(request) && !hasTurn(request)) {
      const durationMs = Math.round(reply.elapsedTime);
      this.#parts.refused({ requestId, method, endpoint, caller: callerOf(request), durationMs, error });
    } else if (error.status >= 500) {
      this.#parts.log.error({ request_id: requestId, method, path: endpoint, err: error }, 'request failed');
    }
  }
}

/** The HTTP status that Nest or Fastify gave a refusal of theirs; undefined: it is none. */
function statusOf(thrown: unknown): number | undefined {
  if (thrown instanceof HttpException) return thrown.getStatus();
  if (thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number')
    return thrown.statusCode;
  return undefined;
}

function cutShort(): SluiceError {
  return new SluiceError('invalid_request', 'unable to read the request; its body did not come to its end');
}

function notFound(): SluiceError {
  return new SluiceError('not_found', 'unable to serve this URL; there is nothing by that path; see PROTOCOL.md');
}

function methodNotAllowed(): SluiceError {
  return new SluiceError(
    'method_not_allowed',
    'unable to serve this method here; the Allow header names those that are',
  );
}
