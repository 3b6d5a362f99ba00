/*
 * All errors that Sluice reports: one class, a closed list of codes. This file defines for each
 * code the HTTP status, OpenAI's error type and whether a client may retry.
 */

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'conflict_error'
  | 'rate_limit_error'
  | 'server_error';

interface Meaning {
  readonly status: number;
  readonly type: ErrorType;
  /** Whether the same request may succeed when it is retried unchanged. */
  readonly retryable: boolean;
}

const BAD_REQUEST = { status: 400, type: 'invalid_request_error', retryable: false } as const;
const NOT_FOUND = { status: 404, type: 'not_found_error', retryable: false } as const;
const LIMITED = { status: 429, type: 'rate_limit_error', retryable: true } as const;
const UNAVAILABLE = { status: 503, type: 'server_error', retryable: true } as const;

export const ERROR_CODES = {
  // Invalid requests. Not retryable.
  invalid_json: BAD_REQUEST,
  invalid_request: BAD_REQUEST,
  invalid_value: BAD_REQUEST,
  missing_required_parameter: BAD_REQUEST,
  unknown_parameter: BAD_REQUEST,
  unsupported_parameter: BAD_REQUEST,
  parameter_not_allowed: BAD_REQUEST,
  unknown_event: BAD_REQUEST,
  unknown_variable: BAD_REQUEST,
  missing_variable: BAD_REQUEST,
  invalid_variable: BAD_REQUEST,
  invalid_cursor: BAD_REQUEST,
  previous_response_not_found: BAD_REQUEST,
  unsupported_content: BAD_REQUEST,
  unknown_call_id: BAD_REQUEST,
  too_many_lanes: BAD_REQUEST,
  too_many_responses: { status: 429, type: 'rate_limit_error', retryable: true },
  response_still_running: { status: 409, type: 'conflict_error', retryable: false },
  steering_not_supported: BAD_REQUEST,
  payload_too_large: { status: 413, type: 'invalid_request_error', retryable: false },
  headers_too_large: { status: 431, type: 'invalid_request_error', retryable: false },
  request_timeout: { status: 408, type: 'invalid_request_error', retryable: true },
  unsupported_media_type: { status: 415, type: 'invalid_request_error', retryable: false },
  method_not_allowed: { status: 405, type: 'invalid_request_error', retryable: false },
  // Authentication.
  missing_api_key: { status: 401, type: 'authentication_error', retryable: false },
  invalid_api_key: { status: 401, type: 'authentication_error', retryable: false },
  auth_unavailable: UNAVAILABLE,
  insufficient_scope: { status: 403, type: 'permission_error', retryable: false },
  origin_not_allowed: { status: 403, type: 'permission_error', retryable: false },
  // Resources that do not exist or belong to another owner.
  not_found: NOT_FOUND,
  model_not_found: NOT_FOUND,
  prompt_not_found: NOT_FOUND,
  conversation_not_found: NOT_FOUND,
  item_not_found: NOT_FOUND,
  response_not_found: NOT_FOUND,
  client_secret_not_found: NOT_FOUND,
  response_expired: { status: 410, type: 'not_found_error', retryable: false },
  // Temporary refusals.
  conversation_busy: { status: 409, type: 'conflict_error', retryable: true },
  idempotency_key_reused: { status: 409, type: 'conflict_error', retryable: false },
  rate_limit_exceeded: LIMITED,
  draining: UNAVAILABLE,
  overloaded: UNAVAILABLE,
  state_unavailable: UNAVAILABLE,
  // Failures of the provider, the state store, or the gateway.
  provider_error: { status: 502, type: 'server_error', retryable: true },
  /** The conversation does not fit the model: the caller can shorten it. */
  context_length_exceeded: BAD_REQUEST,
  /** The provider's policy refused the request: the caller can change it. */
  content_policy_violation: BAD_REQUEST,
  provider_refused: { status: 502, type: 'server_error', retryable: false },
  provider_unavailable: { status: 503, type: 'server_error', retryable: true },
  provider_stream_interrupted: { status: 502, type: 'server_error', retryable: true },
  provider_timeout: { status: 504, type: 'server_error', retryable: true },
  replica_lost: { status: 502, type: 'server_error', retryable: true },
  server_error: { status: 500, type: 'server_error', retryable: true },
} as const satisfies Record<string, Meaning>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorOptions {
  /** The request field at fault, as a path: `input[2].content`, `prompt.variables.name`. */
  readonly param?: string;
  /** When to retry, in milliseconds from now. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
  /** Overrides whether the code is retryable. */
  readonly retryable?: boolean;
}

/**
 * An error for clients. Message: "unable to <verb>; <cause>; <remedy>". It contains no secret, no
 * message text and no message of a provider: those go into `cause`, which is only logged.
 */
export class SluiceError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly type: ErrorType;
  readonly param: string | null;
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'SluiceError';
    const meaning: Meaning = ERROR_CODES[code];
    this.code = code;
    this.status = meaning.status;
    this.type = meaning.type;
    this.param = options.param ?? null;
    this.retryable = options.retryable ?? meaning.retryable;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/**
 * Converts a thrown value to a SluiceError. An unexpected one becomes `server_error` and is kept as
 * the cause for the log.
 */
export function asSluiceError(thrown: unknown): SluiceError {
  if (thrown instanceof SluiceError) return thrown;
  return new SluiceError('server_error', 'unable to serve this request; unexpected error in the gateway; try again', {
    cause: thrown,
  });
}

/**
 * A cause with a message of Sluice's own: status, codes, ids. It is only logged, with its full
 * message.
 */
export class LogOnlyCause extends Error {
  override readonly name = 'LogOnlyCause';
}

/**
 * Returns Node's code of a thrown value (`ENOENT`), or undefined if it has none. Works across
 * realms, where `instanceof Error` is false.
 */
export function errorCode(thrown: unknown): string | undefined {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? String(thrown.code) : undefined;
}
