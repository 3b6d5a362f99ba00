/*
 * Decides which web pages may use the gateway. Only browsers send Origin, and pages cannot forge
 * it. A request without Origin comes from a program, and only its credential counts.
 */

import { SluiceError } from '../domain/errors.js';

export interface OriginOptions {
  /**
   * Exact origins (`https://app.example.com`), or `*` for any web page. Empty: only pages that this
   * gateway serves itself.
   */
  readonly allowedOrigins: readonly string[];
  /**
   * Whether the gateway listens on a loopback address. Its own pages then have a loopback name, so
   * a foreign page whose name resolves to 127.0.0.1 (DNS rebinding) is refused.
   */
  readonly loopbackOnly: boolean;
}

export class OriginPolicy {
  readonly #any: boolean;
  readonly #allowed: ReadonlySet<string>;
  readonly #loopbackOnly: boolean;

  constructor(options: OriginOptions) {
    this.#any = options.allowedOrigins.includes('*');
    this.#allowed = new Set(options.allowedOrigins.flatMap((origin) => parseOrigin(origin)?.origin ?? []));
    this.#loopbackOnly = options.loopbackOnly;
  }

  /**
   * Whether a page may use the gateway, by the headers `Origin` and `Host`. The opaque origin
   * `null` (sandboxed frames, files) is never allowed.
   */
  allows(origin: string | undefined, host: string | undefined): boolean {
    if (origin === undefined) return true;
    const page = parseOrigin(origin);
    if (page === undefined) return false;
    if (this.#any || this.#allowed.has(page.origin)) return true;
    return this.#allowed.size === 0 && this.#isOwn(page, host);
  }

  /** Checks a page like `allows`. @throws SluiceError `origin_not_allowed` */
  check(origin: string | undefined, host: string | undefined): void {
    if (this.allows(origin, host)) return;
    throw new SluiceError(
      'origin_not_allowed',
      'unable to serve this web page; its origin is not allowed; add it to `auth.allowed_origins`',
    );
  }

  /**
   * Compares host and port only: behind a proxy that ends TLS the page's scheme differs. The page's
   * scheme gives the default port.
   */
  #isOwn(page: URL, host: string | undefined): boolean {
    if (host === undefined) return false;
    if (this.#loopbackOnly && !isLoopback(page.hostname)) return false;
    return parseOrigin(`${page.protocol}//${host}`)?.host === page.host;
  }
}

function parseOrigin(text: string): URL | undefined {
  if (!/^https?:\/\/[^/?#@\\]+$/i.test(text)) return undefined;
  return URL.parse(text) ?? undefined;
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}
