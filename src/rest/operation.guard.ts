/*
 * Counts every request that does not create a turn against its caller's limit on operations. Runs
 * after the request gate and before the route.
 */

import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';

import { OperationLimits } from '../turn/operation-limits.js';
import { callerOf } from './caller.js';

const TURN_ROUTES: ReadonlySet<string> = new Set(['/v1/responses', '/v1/responses/compact', '/v1/chat/completions']);
/**
 * Each full multiple of this in a body costs one more operation, so that large items cost more than
 * small ones.
 */
const BODY_BYTES_PER_OPERATION = 65_536;

/** Whether a request creates a turn; turns have limits of their own. */
export function createsTurn({ method, routeOptions }: FastifyRequest): boolean {
  return method === 'POST' && TURN_ROUTES.has(routeOptions.url ?? '');
}

@Injectable()
export class OperationGuard implements CanActivate {
  constructor(private readonly operations: OperationLimits) {}

  /** Counts the request. @throws SluiceError `rate_limit_exceeded` */
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = callerOf(request);
    if (caller !== undefined && !createsTurn(request)) this.operations.take(caller, costOf(request));
    return true;
  }
}

function costOf({ headers }: FastifyRequest): number {
  const bytes = Number(headers['content-length'] ?? 0);
  return 1 + Math.floor(bytes / BODY_BYTES_PER_OPERATION);
}
