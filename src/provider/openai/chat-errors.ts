/*
 * Converts failures of a chat completions server to SluiceErrors. Clients see only Sluice's texts,
 * never the provider's, which may quote messages and keys. The cause for the log keeps the status,
 * codes and request id.
 */

import { APIConnectionError, APIError } from 'openai';
import { type ErrorCode, type ErrorOptions, LogOnlyCause, SluiceError } from '../../domain/errors.js';

/**
 * Converts what the openai package or the connection threw before there was an answer.
 * @param sentMedia whether the request contained images or files
 */
export function fromThrown(thrown: unknown, sentMedia = false): SluiceError {
  if (thrown instanceof SluiceError) return thrown;
  if (sentMedia && isMediaRefusal(thrown)) return mediaRefused(thrown);
  if (thrown instanceof APIConnectionError) return unreachable(thrown.cause ?? thrown);
  if (thrown instanceof APIError && thrown.status !== undefined) return fromStatus(thrown);
  return unreachable(thrown);
}

/** Creates the error for an answer that broke off or never began. */
export function interrupted(cause?: unknown): SluiceError {
  return new SluiceError(
    'provider_stream_interrupted',
    "unable to finish the answer; the provider's stream ended before its end; try again",
    { cause },
  );
}

/** Creates the error for an answer whose finish reason means a cut, or is unknown. */
export function cutBy(finishReason: string): SluiceError {
  return interrupted(new LogOnlyCause(`the provider ended its stream with finish reason ${token(finishReason)}`));
}

/**
 * Creates the error for an answer that violates the API.
 * @param what names the place, never its content
 */
export function malformed(what: string): SluiceError {
  return new SluiceError(
    'provider_error',
    'unable to read the answer; the provider sent something malformed; try again',
    { cause: new LogOnlyCause(`malformed stream: ${what}`) },
  );
}

/** Creates the error for an answer in an unreadable format. */
export function unreadable(what: string): SluiceError {
  return new SluiceError(
    'provider_error',
    'unable to read the answer; the provider sent neither events nor JSON; look at base_url',
    { retryable: false, cause: new LogOnlyCause(`unreadable body: ${what}`) },
  );
}

/** Converts an error object inside the answer. */
export function fromErrorObject(error: unknown): SluiceError {
  const fields: Readonly<Record<string, unknown>> = isRecord(error) ? error : { message: error };
  const code = token(fields['code'] ?? fields['error_code'] ?? fields['status_code']);
  const type = token(fields['type'] ?? fields['error_type']);
  const status = [code, token(fields['status']), token(fields['status_code'])].find((text) => /^[45]\d\d$/u.test(text));
  return fromReport({
    status: Number(status ?? 0),
    type,
    code,
    message: wordsOf(fields),
    cause: new LogOnlyCause(`the provider reported an error in its answer (type ${type}, code ${code})`),
    options: {},
  });
}

/**
 * Whether a model wrote a call that the server could not parse. The same request often succeeds.
 */
export function isToolUseFailure(thrown: unknown): boolean {
  return thrown instanceof APIError && thrown.status === 400 && thrown.code === 'tool_use_failed';
}

const MEDIA = /image|picture|vision|multi-?modal|mmproj|\bpdf\b|\bfiles?\b|file_|media|content (?:part|type)/iu;

/** Whether a server refused a request with images or files because of them. */
function isMediaRefusal(thrown: unknown): thrown is APIError {
  if (!(thrown instanceof APIError) || ![400, 404, 413, 415, 422, 500].includes(thrown.status ?? 0)) return false;
  const words = `${thrown.message} ${wordsOf(isRecord(thrown.error) ? thrown.error : {})}`;
  const codes = `${token(thrown.type)} ${token(thrown.code)} ${token(thrown.param)}`;
  return MEDIA.test(`${words} ${codes}`) && !POLICY.test(codes) && !TOO_LONG.test(words);
}

function mediaRefused(error: APIError): SluiceError {
  return new SluiceError(
    'unsupported_content',
    'unable to get an answer; the provider did not accept an image or file; send another one or leave it out',
    { cause: causeOf(error) },
  );
}

function causeOf(error: APIError): LogOnlyCause {
  return new LogOnlyCause(
    `the provider answered HTTP ${error.status ?? 0} (type ${token(error.type)}, code ${token(error.code)}, param ${token(error.param)}, request ${token(error.requestID)})`,
  );
}

function fromStatus(error: APIError): SluiceError {
  const { status = 0, headers } = error;
  const code = token(error.code);
  const type = token(error.type);
  const cause = causeOf(error);
  const retryAfterMs = retryAfter(headers, Date.now());
  const shouldRetry = headers?.get('x-should-retry');
  return fromReport({
    status,
    type,
    code,
    message: `${error.message} ${wordsOf(isRecord(error.error) ? error.error : {})}`,
    cause,
    options: {
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(shouldRetry === 'false' || shouldRetry === 'true' ? { retryable: shouldRetry === 'true' } : {}),
    },
  });
}

interface Report {
  /** HTTP status, or the code inside the answer if it looks like one; 0 if there is none. */
  readonly status: number;
  readonly type: string;
  readonly code: string;
  /** Used to classify the error, never shown. */
  readonly message: string;
  readonly cause: Error;
  readonly options: ErrorOptions;
}

/** Phrases of servers for a conversation that is too long, if they send no code. */
const TOO_LONG =
  /context[ _](?:length|window|size|limit)|`inputs` tokens|context_length|maximum (?:context|prompt|input)|(?:prompt|input|request) is too long|too many (?:input |prompt )?tokens|exceeds? the (?:available context|model's maximum|maximum number of tokens)|reduce the length/iu;
const USED_UP =
  /insufficient_quota|quota_exceeded|exceeded_current_quota|billing|insufficient_(?:balance|credits?|funds)|credits?_exhausted/iu;
const POLICY = /content_policy|content_filter|responsible_ai|moderation|content_blocked|data_inspection/iu;

function fromReport(report: Report): SluiceError {
  const { status, type, code, cause } = report;
  const words = `${type} ${code}`;
  const options = { ...report.options, cause };
  // Waiting does not refill a used-up account.
  if (USED_UP.test(words) || status === 402) return rateLimited({ cause, retryable: false });
  if (isTooLong(report)) {
    return new SluiceError(
      'context_length_exceeded',
      "unable to get an answer; the conversation is longer than the model's context; shorten the conversation or start a new one",
      { cause },
    );
  }
  if (status === 429 || /rate_?limit|too_many_requests|throttl|quota/iu.test(words)) return rateLimited(options);
  if (POLICY.test(words)) {
    return new SluiceError(
      'content_policy_violation',
      "unable to get an answer; the provider's content policy refused the request; change the request",
      { cause },
    );
  }
  switch (status) {
    case 401:
    case 403:
      return refused(
        "the provider did not accept the gateway's own credential; the operator must look at its key",
        options,
      );
    case 404:
      return refused(
        'the provider does not know the model or the address; the operator must look at the configuration',
        options,
      );
    case 408:
    case 504:
      return failed('provider_timeout', 'the provider ran out of time before it answered', options);
    case 425:
    case 502:
    case 503:
    case 529:
      return failed('provider_unavailable', 'the provider is not available', options);
    case 409:
      return failed('provider_error', 'the provider is busy with the same request', options);
    case 0:
      return fromWords(words, options);
  }
  if (status >= 500) return failed('server_error', 'the provider failed', options);
  if (code === 'tool_use_failed') {
    return failed('provider_error', 'the model wrote a tool call that the provider could not read', {
      ...options,
      retryable: false,
    });
  }
  if (status >= 300 && status < 400) {
    return refused('the provider redirects to another address; the operator must look at base_url', options);
  }
  return refused('the provider did not accept the request; change the request', options);
}

function fromWords(words: string, options: ErrorOptions): SluiceError {
  if (/overloaded|unavailable|capacity|busy/iu.test(words)) {
    return failed('provider_unavailable', 'the provider is not available', options);
  }
  if (/time_?out/iu.test(words)) return failed('provider_timeout', 'the provider ran out of time', options);
  if (/invalid_request|bad_?request|authentication|permission|not_found/iu.test(words)) {
    return refused('the provider refused the request while it answered; change the request', options);
  }
  const own = /server_?error|internal/iu.test(words);
  return new SluiceError(
    own ? 'server_error' : 'provider_error',
    'unable to finish the answer; the provider reported an error of its own; try again',
    options,
  );
}

function isTooLong({ status, type, code, message }: Report): boolean {
  if (/context_length_exceeded|exceed_context|context_window|model_max_prompt/iu.test(`${type} ${code}`)) return true;
  // Only for a refused request: a provider that mentions limits may mean its rate limit.
  return [0, 400, 413, 422, 500].includes(status) && TOO_LONG.test(message);
}

function failed(code: ErrorCode, why: string, options: ErrorOptions): SluiceError {
  return new SluiceError(code, `unable to get an answer; ${why}; try again`, options);
}

/** Returns an error that is not retried unless the provider requests it. */
function refused(why: string, { cause, retryable }: ErrorOptions): SluiceError {
  const again = retryable === true ? { retryable } : {};
  return new SluiceError('provider_refused', `unable to get an answer; ${why}`, { cause, ...again });
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
  return failed('provider_unavailable', 'the provider cannot be reached', { cause });
}

/**
 * Reads `retry-after-ms`, or `Retry-After` in seconds or as a date.
 * @returns milliseconds from `nowMs`
 */
function retryAfter(headers: Headers | undefined, nowMs: number): number | undefined {
  const exact = Number.parseFloat(headers?.get('retry-after-ms') ?? '');
  if (exact >= 0) return exact;
  const header = headers?.get('retry-after') ?? '';
  const seconds = /^\s*\d+(?:\.\d+)?\s*$/u.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}

/** Returns the message of an error, in whichever field it is. */
function wordsOf(fields: Readonly<Record<string, unknown>>): string {
  return ['message', 'msg', 'detail', 'error', 'error_msg', 'status_msg', 'error_message']
    .map((name) => fields[name])
    .filter((value) => typeof value === 'string')
    .join(' ');
}

/** Returns a short code of the provider, or `-` for anything else: free text could quote a user. */
function token(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : value;
  return typeof text === 'string' && /^[\w.[\]-]{1,64}$/u.test(text) ? text : '-';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
