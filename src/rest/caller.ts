/* Who is calling a route. Stored by the request gate before the body is read, handed to the route as `@Caller()`. */

import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';

import { type Principal } from '../domain/principal.js';
import { callerKey } from '../turn/caller-key.js';

/** Principals by request, so that nothing a client sends can look like one. */
const callers = new WeakMap<FastifyRequest, Principal>();

export function setCaller(request: FastifyRequest, caller: Principal): void {
  callers.set(request, caller);
}

/** The caller of a route under `/v1`. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const caller = callerOf(context.switchToHttp().getRequest<FastifyRequest>());
  if (caller === undefined) throw new Error('unable to identify the caller; the route is not behind the request gate');
  return caller;
});

/** @returns undefined if the request was refused before its caller was known */
export function callerOf(request: FastifyRequest): Principal | undefined {
  return callers.get(request);
}

/** What refusals and bodies are counted by: the caller at an address, or the address alone without a valid credential. */
export function senderOf(request: FastifyRequest): string {
  const caller = callerOf(request);
  return `${caller === undefined ? '' : callerKey(caller)} ${request.ip}`;
}
