/*
 * Configures how the HTTP server reads requests before any route: bounds, JSON bodies and request
 * ids. Its own refusals have OpenAI's shape too. For Nest's Fastify adapter, created with
 * `bodyParser: false`.
 */

import { type FastifyInstance, type FastifyReply, type FastifyRequest, type FastifyHttpOptions } from 'fastify';
import { type Server } from 'node:http';
import { type Socket } from 'node:net';
import { SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { errorBody, errorHeaders, PRIVATE_HEADERS, rawRefusal } from '../protocol/errors.js';
import { readJson } from '../protocol/read-json.js';
import { type RouteTable } from './route-table.js';

export interface HttpServerSettings {
  /** A larger body is refused with 413. */
  readonly maxBodyBytes: number;
  /** How long a client may take to send a request, including its body. */
  readonly requestTimeoutMs: number;
  /** Addresses and CIDR ranges of proxies whose `X-Forwarded-For` is trusted. */
  readonly trustedProxies: readonly string[];
}

/** How long a client may take to send the head of a request. */
const HEAD_TIMEOUT_MS = 10_000;
/** How often Node checks for requests that take too long. */
const LOOK_EVERY_MS = 1_000;

export function httpServerOptions({
  maxBodyBytes,
  requestTimeoutMs,
  trustedProxies,
}: HttpServerSettings): FastifyHttpOptions<Server> {
  return {
    bodyLimit: maxBodyBytes,
    ...(trustedProxies.length > 0 && { trustProxy: [...trustedProxies] }),
    requestTimeout: requestTimeoutMs,
    // Always generate ids: a client's x-request-id could repeat the id of another request.
    requestIdHeader: false,
    genReqId: () => newId('req'),
    // The turn refuses requests during a drain, with its reason; Fastify must not.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 256 },
    // No route has a JSON schema. Without these Fastify loads two compilers of schemas at start.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    exposeHeadRoutes: false,
    // Without this, a client that does not read would keep the process from ending.
    forceCloseConnections: true,
    http: {
      // Serve a request with any other upgrade as a plain request. curl and Java offer h2c with
      // their first one.
      shouldUpgradeCallback: ({ method, headers }) => method === 'GET' && WEBSOCKET.test(headers.upgrade ?? ''),
      // Node's own refusal has no body; `prepareHttp` refuses instead.
      requireHostHeader: false,
      headersTimeout: Math.min(HEAD_TIMEOUT_MS, requestTimeoutMs),
      connectionsCheckingInterval: LOOK_EVERY_MS,
    },
    clientErrorHandler: refuseBytes,
    frameworkErrors: (_error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      const error = new SluiceError('invalid_request', 'unable to read the request; its URL is malformed');
      void reply
        .code(error.status)
        .headers({ ...errorHeaders(error), ...PRIVATE_HEADERS, 'x-request-id': request.id })
        .send(errorBody(error));
    },
  };
}

/** @throws Error always: bodies are validated by `protocol` */
function noSchemas(): never {
  throw new Error('unable to compile a schema of a route; routes have none; validate in protocol');
}

const WEBSOCKET = /^\s*websocket\s*$/iu;

/**
 * Refuses bytes that are not a request. If the connection already carried an answer, only closes
 * it.
 */
function refuseBytes(error: Error & { readonly code?: string }, socket: Socket): void {
  if (socket.writable && socket.bytesWritten === 0) socket.write(rawRefusal(bytesRefusal(error.code)));
  socket.destroy(error);
}

function bytesRefusal(code: string | undefined): SluiceError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new SluiceError('headers_too_large', 'unable to read the request; its URL and headers are too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new SluiceError('request_timeout', 'unable to read the request; it did not come in time; send it again');
    default:
      return new SluiceError('invalid_request', 'unable to read the request; it is not HTTP/1.1');
  }
}

/**
 * Fills `routes`, and sets the JSON parser and the headers of every answer. Call it before the
 * routes are registered.
 * @param hstsMs how long browsers shall use HTTPS only, in milliseconds; null: no such header
 */
export function prepareHttp(instance: FastifyInstance, routes: RouteTable, hstsMs: number | null = null): void {
  const headers =
    hstsMs === null
      ? PRIVATE_HEADERS
      : { ...PRIVATE_HEADERS, 'strict-transport-security': `max-age=${Math.floor(hstsMs / 1_000)}` };
  instance.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) routes.add(one, url);
  });
  instance.addHook('onRequest', (request, reply, done) => {
    void reply.headers({ 'x-request-id': request.id, ...headers });
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      const error = new SluiceError('invalid_request', 'unable to read the request; it has no Host header');
      void reply
        .code(error.status)
        .headers({ ...errorHeaders(error), connection: 'close' })
        .send(errorBody(error));
      return;
    }
    done();
  });
  // Node would send 100 Continue before the credential is checked; the request gate sends it
  // instead.
  instance.server.on('checkContinue', (request, response) => instance.server.emit('request', request, response));
  // Node would refuse an unknown expectation itself, without a body.
  instance.server.on('checkExpectation', (request, response) => instance.server.emit('request', request, response));
  instance.removeAllContentTypeParsers();
  instance.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, parseJson(body));
    } catch (error) {
      // parseJson throws only SluiceError.
      done(error as SluiceError);
    }
  });
}

const NO_JSON = 'its body is not JSON in UTF-8; send one JSON object';
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses a body. An empty body counts as none.
 * @throws SluiceError `invalid_json`
 */
function parseJson(body: string | Buffer): unknown {
  if (body.length === 0) return undefined;
  let text: string;
  try {
    text = typeof body === 'string' ? body : utf8.decode(body);
  } catch {
    throw new SluiceError('invalid_json', `unable to read the request; ${NO_JSON}`);
  }
  return readJson(text, 'the request', NO_JSON);
}
