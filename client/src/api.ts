/*
 * The public types of the browser client, and no code. Names in snake case are the gateway's wire
 * names; names in camel case are the client's.
 */

export interface ClientOptions {
  /**
   * Address of the gateway, such as `https://chat.example.com`. Default: the origin of the page.
   */
  readonly url?: string;
  /** A credential, or a function that returns one within 30 s. Called before every connection. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** Fields for every `send`, such as `{ prompt: { id: 'support' } }`. `send` can override them. */
  readonly defaults?: SendOptions;
  /**
   * Longest pause before the first reconnect, and before later ones. The pause is random below it.
   */
  readonly reconnect?: { readonly firstDelayMs?: number; readonly maxDelayMs?: number };
  /** Time limit of one attempt to connect, in milliseconds. */
  readonly connectTimeoutMs?: number;
  /** Silence before a ping, with and without running responses, and the time limit of a ping. */
  readonly ping?: { readonly busyAfterMs?: number; readonly idleAfterMs?: number; readonly timeoutMs?: number };
}

/** Fields of a request beside its input: those of OpenAI's `response.create`, sent unchanged. */
export interface SendOptions {
  readonly conversation?: string;
  readonly previous_response_id?: string;
  readonly prompt?: {
    readonly id: string;
    readonly version?: string;
    readonly variables?: Readonly<Record<string, string | number | boolean>>;
  };
  readonly instructions?: string;
  readonly model?: string;
  readonly temperature?: number;
  readonly max_output_tokens?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly store?: boolean;
  /** Idempotency key: sending it again gives the same response. Default: random for each `send`. */
  readonly idempotencyKey?: string;
  /** Any further field of the protocol (`tools`, `text`, `reasoning`, …). */
  readonly [field: string]: unknown;
}

/** A string is one user message; items are OpenAI's input items. */
export type Input = string | readonly Readonly<Record<string, unknown>>[];

/** `sse`: no WebSocket can be opened. Answers come by SSE, turns of other devices by polling. */
export type Transport = 'websocket' | 'sse';

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'offline' | 'closed';

export interface StateChange {
  readonly state: ConnectionState;
  /** The failure that caused the state, or null. */
  readonly error: SluiceErrorShape | null;
  /** Milliseconds until the next attempt to connect, or null if none is planned. */
  readonly retryInMs: number | null;
}

/** A frame of the protocol as it was sent or received, for inspectors and logs. */
export interface Frame {
  readonly direction: 'in' | 'out';
  readonly data: WireEvent;
}

export interface ClientEvents {
  state: StateChange;
  frame: Frame;
  /** A refusal that belongs to no response. */
  error: SluiceErrorShape;
}

export interface Sluice {
  readonly state: ConnectionState;
  readonly transport: Transport;
  /** Connects, as `send` and `resume` do. Resolves when open, rejects if refused permanently. */
  connect(): Promise<void>;
  /** Requests a response. Waits while offline. Never throws: the response reports failures. */
  send(input: Input, options?: SendOptions): SluiceResponse;
  /** Resumes a response from a cursor, or returns the response that is followed already. */
  resume(cursor: Cursor): SluiceResponse;
  /**
   * Follows a conversation: its items, then every turn from any device, each once. Returns the
   * existing subscription if there is one.
   */
  subscribe(conversation: string): Subscription;
  readonly conversations: Conversations;
  /** Makes one REST call with its credential, a GET within 30 s. Rejects with a SluiceError. */
  request<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Calls `handler` for every such event. Returns a function that removes it. */
  on<K extends keyof ClientEvents>(event: K, handler: (value: ClientEvents[K]) => void): () => void;
  /** Closes the connection. Running responses continue and can be resumed by their cursors. */
  close(): void;
}

/**
 * `waiting`: not accepted yet. `refused`: never accepted. `lost`: it cannot be followed further.
 */
export type ResponseStatus =
  'waiting' | 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled' | 'refused' | 'lost';

/** The position of a viewer in a response. Plain data: keep it as JSON and pass it to `resume`. */
export interface Cursor {
  readonly id: string;
  /** Sequence number of the last event seen; −1 or absent: none. */
  readonly after?: number;
  /** The text up to that event. */
  readonly text?: string;
}

export interface ResponseEvents {
  /** Text to append. */
  delta: string;
  /** The whole text, in place of a text passed to `resume` that was not the response's. */
  replace: string;
  /** Text to append to the refusal, which a guardrail or the model gives instead of an answer. */
  refusal: string;
  status: ResponseStatus;
  /** Each event of the response, once and in order. A snapshot or the end may replace some. */
  event: WireEvent;
  /** The end, with exactly one of both fields set. */
  end: { readonly response: ResponseObject | null; readonly error: SluiceErrorShape | null };
}

/** One response, running or ended. Every iteration over it yields its text from the start. */
export interface SluiceResponse extends AsyncIterable<string> {
  /** Null until the gateway has accepted the request. */
  readonly id: string | null;
  readonly status: ResponseStatus;
  /** The text received. */
  readonly text: string;
  /** The refusal received, or an empty string. */
  readonly refusal: string;
  /** Position of this viewer, or null until the gateway has accepted the request. */
  readonly cursor: Required<Cursor> | null;
  /** Idempotency key of the request, or null for a resumed response. */
  readonly idempotencyKey: string | null;
  /** The ended response, with any status. Rejects with a SluiceError if it was refused or lost. */
  readonly final: Promise<ResponseObject>;
  on<K extends keyof ResponseEvents>(event: K, handler: (value: ResponseEvents[K]) => void): () => void;
  /** Requests a cancel until it is accepted. The text stays, and `final` resolves with the end. */
  cancel(): void;
}

/** Fields of a SluiceError. `closed`: the client or the caller ended it. `lost`: as in `status`. */
export interface SluiceErrorShape extends Error {
  readonly kind: 'refused' | 'lost' | 'closed';
  /** A code of the gateway (`rate_limit_exceeded`, …) or of the client (`network`, `closed`, …). */
  readonly code: string;
  /** HTTP status, or null for errors of the client. */
  readonly status: number | null;
  /** The invalid field of the request. */
  readonly param: string | null;
  /** Milliseconds after which a retry makes sense, or null if unknown. */
  readonly retryAfterMs: number | null;
}

/** The items of the conversation, `caught_up`, then its turns. Missed items come later. */
export type ConversationEvent =
  | { readonly type: 'item'; readonly item: ConversationItem }
  | {
      readonly type: 'turn';
      readonly input: readonly Readonly<Record<string, unknown>>[];
      readonly response: SluiceResponse;
    }
  | { readonly type: 'caught_up' };

export interface SubscriptionEvents {
  event: ConversationEvent;
  /** The end: null after `close`, else the reason why the conversation cannot be followed. */
  end: SluiceErrorShape | null;
}

/**
 * A followed conversation. Iterating yields all events until `close`. Throws if the gateway ends
 * it.
 */
export interface Subscription extends AsyncIterable<ConversationEvent> {
  readonly conversation: string;
  on<K extends keyof SubscriptionEvents>(event: K, handler: (value: SubscriptionEvents[K]) => void): () => void;
  close(): void;
}

/** REST calls for conversations. Each rejects with a SluiceError. */
export interface Conversations {
  create(body?: { readonly metadata?: Readonly<Record<string, string>> }): Promise<ConversationObject>;
  retrieve(id: string): Promise<ConversationObject>;
  /** Lists the caller's conversations, newest change first. */
  list(paging?: Paging): Promise<List<ConversationObject>>;
  items(id: string, paging?: Paging & { readonly order?: 'asc' | 'desc' }): Promise<List<ConversationItem>>;
  /** Replaces the metadata. */
  update(id: string, body: { readonly metadata: Readonly<Record<string, string>> }): Promise<ConversationObject>;
  /** Sets the title and keeps the other metadata. */
  rename(id: string, title: string): Promise<ConversationObject>;
  delete(id: string): Promise<void>;
}

export interface Paging {
  /** From 1 to 100; the gateway's default is 20. */
  readonly limit?: number;
  /** Id of the last entry of the previous page. */
  readonly after?: string;
}

export interface List<T> {
  readonly data: readonly T[];
  readonly last_id: string | null;
  readonly has_more: boolean;
}

export interface ConversationObject {
  readonly id: string;
  readonly object: 'conversation';
  readonly created_at: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly sluice: {
    /** `metadata.title`, or the beginning of the first question. */
    readonly title: string | null;
    /** Unix seconds. */
    readonly updated_at: number;
  };
}

/** An entry of a conversation: a message, a function call, or a function call's output. */
export interface ConversationItem {
  readonly type: string;
  readonly id: string;
  readonly status: string;
  /** Only for a message. */
  readonly role?: 'user' | 'assistant' | 'system' | 'developer';
  readonly content?: readonly { readonly type: string; readonly text?: string; readonly refusal?: string }[];
  readonly call_id?: string;
  readonly name?: string;
  readonly arguments?: string;
  readonly output?: string;
  readonly sluice: {
    /** Who speaks: `human` is a person who writes in place of the model. */
    readonly author: 'model' | 'user' | 'system' | 'human';
    /** The response that added it, or null if it was added by REST. */
    readonly response_id: string | null;
    /** Whether a guardrail refused it: it is shown to people and never sent to a model. */
    readonly withheld: boolean;
  };
}

/** An event of the protocol, with the fields that the client reads. PROTOCOL.md lists all. */
export interface WireEvent {
  readonly type: string;
  readonly sequence_number?: number;
  readonly stream_id?: string;
  readonly response_id?: string;
  readonly delta?: string;
  readonly response?: ResponseObject;
  readonly [field: string]: unknown;
}

export interface OutputItem {
  readonly type: string;
  readonly id: string;
  readonly status: string;
  readonly content?: readonly { readonly type: string; readonly text?: string; readonly refusal?: string }[];
  /** Only for a function call. */
  readonly call_id?: string;
  readonly name?: string;
  readonly arguments?: string;
}

/** OpenAI's response object, with the gateway's additions under `sluice`. */
export interface ResponseObject {
  readonly id: string;
  readonly status: Exclude<ResponseStatus, 'waiting' | 'refused' | 'lost'>;
  readonly created_at: number;
  readonly model: string;
  readonly output: readonly OutputItem[];
  readonly output_text: string;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly incomplete_details: { readonly reason: string } | null;
  readonly conversation: { readonly id: string } | null;
  readonly usage: {
    readonly input_tokens: number;
    readonly output_tokens: number;
    readonly total_tokens: number;
  } | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly sluice: {
    readonly prompt: { readonly pack: string; readonly name: string; readonly version: string } | null;
    readonly provider: string | null;
    readonly findings: readonly {
      readonly guardrail: string;
      readonly stage: string;
      readonly decision: string;
      readonly reason: string;
    }[];
    readonly cost_usd: number | null;
    readonly usage_estimated: boolean;
    readonly kept: string | null;
  };
}
