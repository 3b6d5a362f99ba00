/*
 * What goes wrong with a chat completions server, as SluiceErrors. Clients read our words only: never the provider's, which may
 * quote messages and keys; the cause for the log keeps its status, codes and request id.
 */

import { APIConnectionError, APIError } from 'openai';
import { LogOnlyCause, SluiceError, type ErrorCode, type ErrorOptions } from '../../domain/errors.js';

/** For whatever the openai package or the connection threw before there was an answer. */
export function fromThrown(thrown: unknown): SluiceError {
  if (thrown instanceof SluiceError) return thrown;
  if (thrown instanceof APIConnectionError) return unreachable(thrown.cause ?? thrown);
  if (thrown instanceof APIError && thrown.status !== undefined) return fromStatus(thrown);
  return unreachable(thrown);
}

/** For a connection that broke after the answer had begun. */
export function interrupted(cause?: unknown): SluiceError {
  return new SluiceError(
    'provider_stream_interrupted',
    "unable to finish the answer; the provider's stream ended before its end; try again",
    { cause },
  );
}

/** For an answer that is not what the API says. `what` names the place, never its content. */
export function malformed(what: string): SluiceError {
  return new SluiceError(
    'provider_error',
    'unable to read the answer; the provider sent something malformed; try again',
    {
      cause: new LogOnlyCause(`malformed stream: ${what}`),
    },
  );
}

/** For an error object inside the stream. */
export function fromErrorObject(error: unknown): SluiceError {
  const fields: Readonly<Record<string, unknown>> = isRecord(error) ? error : {};
  const type = token(fields['type']);
  const code = token(fields['code']);
  const cause = new LogOnlyCause(`the provider reported an error in its stream (type ${type}, code ${code})`);
  const limited = code === '429' || /rate_limit|too_many_requests|quota/u.test(`${type} ${code}`);
  if (limited) return rateLimited({ cause });
  if (/^(?:400|401|403|404|413|422)$/u.test(code) || /invalid_request|authentication|permission/u.test(type)) {
    return refused('the provider refused the request while it answered; change the request', cause);
  }
  const own = /server_error|internal/u.test(`${type} ${code}`) || /^5\d\d$/u.test(code);
  return new SluiceError(
    own ? 'server_error' : 'provider_error',
    'unable to finish the answer; the provider reported an error of its own; try again',
    { cause },
  );
}

function fromStatus(error: APIError): SluiceError {
  const { status = 0, headers } = error;
  const code = token(error.code);
  const cause = new LogOnlyCause(
    `the provider answered HTTP ${status} (type ${token(error.type)}, code ${code}, param ${token(error.param)}, request ${token(error.requestID)})`,
  );
  const retryAfterMs = retryAfter(headers, Date.now());
  const options: ErrorOptions = {
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(headers?.get('x-should-retry') === 'false' ? { retryable: false } : {}),
  };
  switch (status) {
    case 401:
    case 403:
      return refused(
        "the provider did not accept the gateway's own credential; the operator must look at its key",
        cause,
      );
    case 404:
      return refused(
        'the provider does not know the model or the address; the operator must look at the configuration',
        cause,
      );
    case 429:
      // A used-up account does not come back by waiting.
      return rateLimited(code === 'insufficient_quota' ? { cause, retryable: false } : options);
    case 408:
    case 504:
      return failed('provider_timeout', 'the provider ran out of time before it answered', options);
    case 502:
    case 503:
    case 529:
      return failed('provider_unavailable', 'the provider is not available', options);
    case 409:
      return failed('provider_error', 'the provider is busy with the same request', options);
    default:
      if (status >= 500) return failed('server_error', 'the provider failed', options);
      if (code === 'context_length_exceeded') {
        return refused("the conversation is longer than the model's context; shorten it or start a new one", cause);
      }
      return refused('the provider did not accept the request; change the request', cause);
  }
}

function failed(code: ErrorCode, why: string, options: ErrorOptions): SluiceError {
  return new SluiceError(code, `unable to get an answer; ${why}; try again`, options);
}

function refused(why: string, cause: Error): SluiceError {
  return new SluiceError('provider_refused', `unable to get an answer; ${why}`, { cause });
}

function rateLimited(options: ErrorOptions): SluiceError {
  const what = options.retryable === false ? 'the operator must look at the account' : 'try again later';
  return new SluiceError(
    'rate_limit_exceeded',
    `unable to get an answer; the provider's limit is reached; ${what}`,
    options,
  );
}

function unreachable(cause: unknown): SluiceError {
  return failed('provider_unavailable', 'the provider can not be reached', { cause });
}

/** `retry-after-ms`, or `Retry-After` in seconds or as a date, in milliseconds from `nowMs`. */
function retryAfter(headers: Headers | undefined, nowMs: number): number | undefined {
  const exact = Number.parseFloat(headers?.get('retry-after-ms') ?? '');
  if (exact >= 0) return exact;
  const header = headers?.get('retry-after') ?? '';
  const seconds = /^\s*\d+(?:\.\d+)?\s*$/u.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

/** A short machine word of the provider's, or `-`: free text could quote what a user wrote. */
function token(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && /^[\w.[\]-]{1,64}$/u.test(text) ? text : '-';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
