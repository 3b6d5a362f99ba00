/*
 * The caller of a route. The request gate stores it before the body is read; routes receive it as
 * `@Caller()`.
 */

import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { networkOf } from '../domain/network.js';
import { type Principal, callerKey } from '../domain/principal.js';
import { readClientRequestId } from '../protocol/client-request-id.js';

/**
 * Principals by request. They are not fields of the request, so no client input can look like one.
 */
const callers = new WeakMap<FastifyRequest, Principal>();

export function setCaller(request: FastifyRequest, caller: Principal): void {
  callers.set(request, caller);
}

/** Injects the caller into a route under `/v1`. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const caller = callerOf(context.switchToHttp().getRequest<FastifyRequest>());
  if (caller === undefined) throw new Error('unable to identify the caller; the route is not behind the request gate');
  return caller;
});

/** Returns the caller, or undefined if the request was refused before it was authenticated. */
export function callerOf(request: FastifyRequest): Principal | undefined {
  return callers.get(request);
}

/**
 * Returns the key by which refusals and bodies are counted: the caller at an address, or the
 * address alone without a valid credential.
 */
export function senderOf(request: FastifyRequest): string {
  const caller = callerOf(request);
  return `${caller === undefined ? '' : callerKey(caller)} ${networkOf(request.ip)}`;
}

/** Returns the caller's own id of a request (`x-request-id`), or undefined if it has none. */
export function clientRequestIdOf({ headers }: FastifyRequest): string | undefined {
  return readClientRequestId(headers['x-request-id']);
}
