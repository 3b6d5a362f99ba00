/* Who is calling a route: checked before the route runs, handed to it as `@Caller()`. */

import { type CanActivate, createParamDecorator, type ExecutionContext, Injectable } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';

import { Authenticator } from '../auth/authenticator.js';
import { credentialFromHeaders } from '../auth/credentials.js';
import { OriginPolicy } from '../auth/origin.js';
import { type Principal } from '../domain/principal.js';

/** Principals by request, so that nothing a client sends can look like one. */
const callers = new WeakMap<FastifyRequest, Principal>();

@Injectable()
export class CallerGuard implements CanActivate {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly origins: OriginPolicy,
  ) {}

  /** @throws SluiceError 401 or 403 */
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    this.origins.check(request.headers.origin, request.headers.host);
    callers.set(request, await this.authenticator.authenticate(credentialFromHeaders(request.headers)));
    return true;
  }
}

/** The caller of a guarded route. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const caller = callerOf(context.switchToHttp().getRequest<FastifyRequest>());
  if (caller === undefined) throw new Error('unable to tell the caller; the route is not guarded by CallerGuard');
  return caller;
});

/** Undefined: the request was refused before its caller was known. */
export function callerOf(request: FastifyRequest): Principal | undefined {
  return callers.get(request);
}
