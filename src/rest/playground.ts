/*
 * The playground and the browser client as static files: read once at start, served from memory
 * with the headers of a page.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { type FastifyInstance } from 'fastify';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.ts': 'text/plain; charset=utf-8',
  '.map': 'application/json',
};

/**
 * Content security policy: no foreign and no inline code, and no HTML that was not sanitized,
 * because the page shows text of models and people.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types dompurify',
  "connect-src 'self'",
].join('; ');

/** A host name, IPv4 or bracketed IPv6 address, with or without a port. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/iu;

/**
 * Returns the policy of a page on this host.
 * @param host the header `Host`. Some browsers do not count sockets of the same host as `'self'`.
 */
function policyOn(host: string | undefined): string {
  return host !== undefined && HOST.test(host) ? `${POLICY} ws://${host} wss://${host}` : POLICY;
}

/**
 * Serves every file of `directory` at the root, and `index.html` at `/`. Serves none if the
 * directory does not exist (before `npm run build`).
 */
export function servePlayground(instance: FastifyInstance, directory: string): void {
  for (const name of filesOf(directory)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(join(directory, name));
    const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 24)}"`;
    instance.get(name === 'index.html' ? '/' : `/${name}`, (request, reply) => {
      void reply.headers({
        etag,
        'cache-control': 'no-cache',
        'content-security-policy': policyOn(request.headers.host),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
      });
      if (request.headers['if-none-match'] === etag) void reply.code(304).send();
      else void reply.type(type).send(body);
    });
  }
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
