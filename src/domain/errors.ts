/*
 * Every error that Sluice tells anybody about: one class, a closed list of codes. What a code means on the wire
 * (HTTP status, OpenAI's error type) and whether a client may try again stand here, once.
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
  /** May the same request be tried again, unchanged, and succeed? */
  readonly retryable: boolean;
}

const BAD_REQUEST = { status: 400, type: 'invalid_request_error', retryable: false } as const;
const NOT_FOUND = { status: 404, type: 'not_found_error', retryable: false } as const;
const LIMITED = { status: 429, type: 'rate_limit_error', retryable: true } as const;
const AWAY = { status: 503, type: 'server_error', retryable: true } as const;

export const ERROR_CODES = {
  // The request is wrong: nothing to try again.
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
  // Who is asking.
  missing_api_key: { status: 401, type: 'authentication_error', retryable: false },
  invalid_api_key: { status: 401, type: 'authentication_error', retryable: false },
  insufficient_scope: { status: 403, type: 'permission_error', retryable: false },
  origin_not_allowed: { status: 403, type: 'permission_error', retryable: false },
  // It does not exist, or is not yours: the same answer.
  not_found: NOT_FOUND,
  model_not_found: NOT_FOUND,
  prompt_not_found: NOT_FOUND,
  conversation_not_found: NOT_FOUND,
  item_not_found: NOT_FOUND,
  response_not_found: NOT_FOUND,
  response_expired: { status: 410, type: 'not_found_error', retryable: false },
  // Not now.
  conversation_busy: { status: 409, type: 'conflict_error', retryable: true },
  idempotency_key_reused: { status: 409, type: 'conflict_error', retryable: false },
  rate_limit_exceeded: LIMITED,
  draining: AWAY,
  overloaded: AWAY,
  state_unavailable: AWAY,
  // Something behind us, or we ourselves.
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
  /** When it is worth trying again, in milliseconds from now. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
  /** Overrides the code's own answer where the case is known better. */
  readonly retryable?: boolean;
}

/**
 * What went wrong, in words for the one who asked: "unable to <do what>; <why>; <what to do>".
 * The message reaches clients, so it never carries a secret, message text, or what a provider said of us;
 * that is `cause`, which reaches the log only.
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

/** Any thrown thing as a SluiceError; what we did not foresee is `server_error`, its cause kept for the log. */
export function asSluiceError(thrown: unknown): SluiceError {
  if (thrown instanceof SluiceError) return thrown;
  return new SluiceError(
    'server_error',
    'unable to serve this request; something failed inside the gateway; try again',
    {
      cause: thrown,
    },
  );
}

/** A cause in our own words: status, codes, ids. Only the log sees it, and it may keep the message whole. */
export class LogOnlyCause extends Error {
  override readonly name = 'LogOnlyCause';
}
