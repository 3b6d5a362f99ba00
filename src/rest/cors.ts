/* CORS for the pages that the configuration allows: the same list that a socket's Origin is checked against. */

import { type FastifyRequest } from 'fastify';

import { type OriginPolicy } from '../auth/origin.js';
import { LIMIT_HEADERS } from './limit-headers.js';

interface CorsAnswer {
  /** The origin to name, or false: no CORS header, so that a browser keeps the answer from the page. */
  readonly origin: string | false;
  readonly methods: string[];
  readonly exposedHeaders: string[];
  readonly maxAge: number;
  /** A lone OPTIONS is no error. */
  readonly strictPreflight: boolean;
}

/** For `app.enableCors`. Requested headers are mirrored: the official client sends a dozen of its own. */
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
