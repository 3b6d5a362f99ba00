/*
 * CORS for the pages that the configuration allows. Sockets check their Origin against the same
 * list.
 */

import { type FastifyRequest } from 'fastify';

import { type OriginPolicy } from '../auth/origin.js';
import { LIMIT_HEADERS } from './create-turn.js';

interface CorsAnswer {
  /**
   * The origin to allow, or false for no CORS header, so that the browser hides the answer from the
   * page.
   */
  readonly origin: string | false;
  readonly methods: string[];
  readonly exposedHeaders: string[];
  readonly maxAge: number;
  /**
   * Whether an OPTIONS request that is not a preflight is refused. False: it is answered like one.
   */
  readonly strictPreflight: boolean;
}

/**
 * Returns the options of `app.enableCors`. Mirrors the requested headers, because the official
 * client sends a dozen of its own.
 */
export function corsOptions(origins: OriginPolicy) {
  const delegator = (request: FastifyRequest, callback: (error: Error | null, options: CorsAnswer) => void): void => {
    const { origin, host } = request.headers;
    callback(null, {
      origin: origin !== undefined && origins.allows(origin, host) ? origin : false,
      methods: ['GET', 'POST', 'DELETE'],
      exposedHeaders: ['x-request-id', 'retry-after', 'retry-after-ms', 'x-should-retry', ...LIMIT_HEADERS],
      maxAge: 600,
      strictPreflight: false,
    });
  };
  return { delegator };
}
