/*
 * Decides from the head of a request, before its body is read: connection, route, origin,
 * credential, the sender's refusals, encoding and room. A refused body is discarded. Its sender has
 * a moment to read the answer, then its connection is closed.
 */

import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Authenticator } from '../auth/authenticator.js';
import { authenticateRequest } from '../auth/credentials.js';
import { type OriginPolicy } from '../auth/origin.js';
import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { systemTime } from '../domain/time.js';
import { type Audit } from '../observability/audit.js';
import { type BodyRoom } from './body-room.js';
import { senderOf, setCaller } from './caller.js';
import { type HttpConnections } from './http-connections.js';
import { type RefusalBudget } from './refusal-budget.js';
import { type OpenAnswers } from './open-answers.js';
import { auditAnswers, auditRequest } from './request-audit.js';
import { checkRule, type RouteRule, ruleOf } from './route-rules.js';
import { noRoute, type RouteTable } from './route-table.js';

export interface RequestGateParts {
  readonly authenticator: Authenticator;
  readonly origins: OriginPolicy;
  readonly routes: RouteTable;
  readonly refusals: RefusalBudget;
  readonly bodies: BodyRoom;
  readonly connections: HttpConnections;
  readonly answers: OpenAnswers;
  readonly maxBodyBytes: number;
  /** Null: there is no audit log. */
  readonly audit: Audit | null;
}

/**
 * How long the sender of a refused body may continue sending. If the connection closed at once, a
 * reset could destroy the answer.
 */
const LINGER_MS = 1_000;

/**
 * Installs the gate. Call it before the routes are registered. Every route under `/v1` needs a
 * credential.
 */
export function gateRequests(instance: FastifyInstance, parts: RequestGateParts): void {
  const rules = new Map<string, RouteRule>();
  instance.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) {
      if (url.startsWith('/v1/') && one !== 'OPTIONS') rules.set(`${one} ${url}`, ruleOf(one, url));
    }
  });
  const { audit } = parts;
  if (audit !== null) auditAnswers(instance);
  parts.connections.watch(instance.server);
  instance.addHook('onRequest', async (request, reply) => {
    parts.answers.watch(reply.raw);
    const bytes = bodyBytesOf(request, parts.maxBodyBytes);
    if (bytes > 0) closeUnread(request, reply);
    parts.connections.check(request.raw.socket);
    if (request.is404) throw noRoute(parts.routes, request.url);
    if (!isApi(request)) return;
    const rule = rules.get(`${request.method} ${request.routeOptions.url ?? ''}`);
    if (audit !== null && rule !== undefined) auditRequest(request, reply, audit, rule.audit);
    parts.origins.check(request.headers.origin, request.headers.host);
    const identified = await identify(request, parts, rule);
    parts.answers.setCaller(reply.raw, identified);
    parts.refusals.check(senderOf(request));
    if (bytes > 0) receive(request, bytes, parts);
    if (/^\s*100-continue\s*$/iu.test(request.headers.expect ?? '')) reply.raw.writeContinue();
  });
}

function isApi({ routeOptions, method }: FastifyRequest): boolean {
  return method !== 'OPTIONS' && (routeOptions.url ?? '').startsWith('/v1/');
}

/**
 * Authenticates the caller, and returns it.
 * @throws SluiceError 401 or 403, or 429 if this address was refused too often
 */
async function identify(
  request: FastifyRequest,
  { authenticator, refusals }: RequestGateParts,
  rule: RouteRule | undefined,
): Promise<Principal> {
  try {
    const { scope = 'chat' } = rule ?? {};
    const caller = await authenticateRequest(authenticator, request.headers, scope);
    if (rule !== undefined) checkRule(caller, rule);
    setCaller(request, caller);
    return caller;
  } catch (refusal) {
    refusals.check(senderOf(request));
    throw refusal;
  }
}

/**
 * Checks the body's encoding and length and reserves its room.
 * @throws SluiceError 413, 415, 429, 503
 */
function receive(request: FastifyRequest, bytes: number, { bodies, maxBodyBytes }: RequestGateParts): void {
  const { 'content-encoding': encoding, 'content-length': length } = request.headers;
  if (encoding !== undefined && encoding.trim().toLowerCase() !== 'identity') {
    throw new SluiceError(
      'unsupported_media_type',
      'unable to read the request; its content encoding is not served; send the body uncompressed',
      { param: 'content-encoding' },
    );
  }
  if (length !== undefined && bytes > maxBodyBytes) throw bodyTooLarge();
  const release = bodies.reserve(senderOf(request), bytes);
  request.raw.once('end', release).once('close', release);
}

export function bodyTooLarge(): SluiceError {
  return new SluiceError(
    'payload_too_large',
    'unable to read the request; its body is larger than `http.max_body_bytes` allows; send less',
  );
}

/** Returns the length of the body in bytes: 0 if there is none, `maxBodyBytes` if it is chunked. */
export function bodyBytesOf({ headers }: FastifyRequest, maxBodyBytes: number): number {
  if (headers['transfer-encoding'] !== undefined) return maxBodyBytes;
  const length = Number(headers['content-length'] ?? 0);
  return Number.isFinite(length) ? length : 0;
}

/**
 * Closes the connection of a request that was answered before it was complete. Such an answer is a
 * refusal, and the rest of the body is discarded for `LINGER_MS`.
 */
function closeUnread({ raw }: FastifyRequest, reply: FastifyReply): void {
  reply.raw.once('finish', () => {
    if (raw.complete) return;
    const cancel = systemTime.after(LINGER_MS, () => {
      if (!raw.complete) raw.socket.destroy();
    });
    raw.once('close', cancel);
  });
}
