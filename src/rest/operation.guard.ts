/* Counts every request that does not ask for a turn in its caller's limit on operations. Runs after the request gate, before the route. */

import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';

import { OperationLimits } from '../turn/operation-limits.js';
import { callerOf } from './caller.js';

const TURN_ROUTES: ReadonlySet<string> = new Set(['/v1/responses', '/v1/chat/completions']);
/** A body costs one more operation for each of these, so that writing large items is not cheaper than writing small ones. */
const BODY_BYTES_PER_OPERATION = 65_536;

/** Whether a request asks for a turn, which has limits of its own. */
export function asksForTurn({ method, routeOptions }: FastifyRequest): boolean {
  return method === 'POST' && TURN_ROUTES.has(routeOptions.url ?? '');
}

@Injectable()
export class OperationGuard implements CanActivate {
  constructor(private readonly operations: OperationLimits) {}

  /** @throws SluiceError `rate_limit_exceeded` */
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = callerOf(request);
    if (caller !== undefined && !asksForTurn(request)) this.operations.take(caller, costOf(request));
    return true;
  }
}

function costOf({ headers }: FastifyRequest): number {
  const bytes = Number(headers['content-length'] ?? 0);
  return 1 + Math.floor(bytes / BODY_BYTES_PER_OPERATION);
}
