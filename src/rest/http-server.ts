/*
 * How the HTTP server reads requests before any route sees them: its bounds, JSON bodies, request ids. What it refuses itself is
 * told in OpenAI's shape too. Made for Nest's Fastify adapter, created with `bodyParser: false`.
 */

import { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from 'fastify';

import { SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { errorBody, retryHeaders } from '../protocol/errors.js';
import { type RouteTable } from './route-table.js';

/** How long a client may take to send its request. */
const REQUEST_TIMEOUT_MS = 60_000;

/** `maxBodyBytes`: a larger body is refused with 413. */
export function httpServerOptions(maxBodyBytes: number): FastifyServerOptions {
  return {
    bodyLimit: maxBodyBytes,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Ids are ours: a client's x-request-id could name another's request.
    requestIdHeader: false,
    genReqId: () => newId('req'),
    // A drain is told by the turn, with its reason, not by Fastify.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    exposeHeadRoutes: false,
    // A reader that does not read must not hold the end of the process.
    forceCloseConnections: true,
    frameworkErrors: (_error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      const error = new SluiceError('invalid_request', 'unable to read the request; its URL is malformed');
      void reply
        .code(error.status)
        .headers({ ...retryHeaders(error), 'x-request-id': request.id })
        .send(errorBody(error));
    },
  };
}

/** Before the routes are registered: fills `routes`, and sets the JSON parser and the request id's header. */
export function prepareHttp(instance: FastifyInstance, routes: RouteTable): void {
  instance.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) routes.add(one, url);
  });
  instance.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    done();
  });
  instance.removeAllContentTypeParsers();
  instance.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJson(body));
    } catch (error) {
      // parseJson throws nothing else.
      done(error as SluiceError);
    }
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** An empty body is no body. @throws SluiceError `invalid_json` */
function parseJson(body: string | Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(typeof body === 'string' ? body : utf8.decode(body));
  } catch {
    throw new SluiceError(
      'invalid_json',
      'unable to read the request; its body is not JSON in UTF-8; send one JSON object',
    );
  }
}
