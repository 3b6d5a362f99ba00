/* HTTP calls to the gateway with the client's credential. Parses its refusals. */

import { type ClientOptions, type SluiceErrorShape } from './api.js';
import { type Environment } from './environment.js';
import { SluiceError } from './errors.js';

/** Returns the gateway's http(s) address, without a slash or `/v1` at the end. */
export function baseUrl(url: string | undefined): string {
  const own = (globalThis as { location?: { origin: string } }).location?.origin;
  const given = url ?? own;
  if (given === undefined) throw new TypeError('createClient: url is required outside of a page');
  return new URL(given, own).href.replace(/^ws/, 'http').replace(/(\/v1)?\/*$/, '');
}

/** Returns the credential. @throws SluiceError `token_unavailable`, also after 30 s */
export async function tokenOf(token: ClientOptions['token']): Promise<string> {
  try {
    if (typeof token !== 'function') return token ?? '';
    const late = new Promise<never>((_, reject) => AbortSignal.timeout?.(30_000).addEventListener('abort', reject));
    return (await Promise.race([token(), late])) ?? '';
  } catch (cause) {
    throw new SluiceError('refused', 'token_unavailable', 'The credential could not be fetched.', { cause });
  }
}

function retryAfterOf(header: (name: string) => string | null | undefined): number | null {
  const ms = Number(header('retry-after-ms') ?? Number(header('retry-after') ?? NaN) * 1000);
  return Number.isFinite(ms) ? ms : null;
}

interface ErrorBody {
  readonly code?: string | null;
  readonly message?: string;
  readonly param?: string | null;
  /** Only on a socket: the headers that an HTTP answer would have. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Parses the gateway's `{error: {…}}`, from an HTTP body or an error event. Other bodies give an
 * error with that status.
 */
export function errorFrom(
  status: number | null,
  body: unknown,
  retryAfterMs: number | null = null,
  kind: SluiceErrorShape['kind'] = 'refused',
): SluiceError {
  // A body from the network: every field is checked where it is used.
  const error: ErrorBody = (body as { error?: ErrorBody } | null)?.error ?? {};
  return new SluiceError(
    kind,
    error.code ?? `http_${status}`,
    error.message ?? `The gateway answered with status ${status}.`,
    {
      status,
      param: error.param ?? null,
      retryAfterMs: retryAfterMs ?? retryAfterOf((name) => error.headers?.[name]),
    },
  );
}

export interface Call {
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

/**
 * Makes one call.
 * @throws SluiceError: `network` if there was no answer, else the error of the gateway
 */
export async function call(
  environment: Environment,
  base: string,
  token: string,
  method: string,
  path: string,
  { body, idempotencyKey, signal = method === 'GET' ? AbortSignal.timeout?.(30_000) : undefined }: Call = {},
): Promise<Response> {
  const headers: Record<string, string> = {};
  if (token) headers['authorization'] = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
  let answer: Response;
  try {
    answer = await environment.fetch(base + path, {
      method,
      headers,
      body: JSON.stringify(body),
      signal,
    });
  } catch (cause) {
    throw new SluiceError('refused', 'network', 'The gateway could not be reached.', { cause });
  }
  if (answer.ok) return answer;
  const retryAfterMs = retryAfterOf((name) => answer.headers.get(name));
  throw errorFrom(answer.status, await jsonOf(answer), retryAfterMs);
}

export function jsonOf(answer: Response): Promise<unknown> {
  return answer.json().catch(() => null);
}
