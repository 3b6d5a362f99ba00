/*
 * The public shape of the browser client: every type that a page's own code can name, and nothing that runs.
 * Wire names (snake case) are the gateway's; everything else is ours (camel case).
 */

export interface ClientOptions {
  /** Where the gateway is, such as `https://chat.example.com`. Default: the origin of the page. */
  readonly url?: string;
  /** A credential, or a function that fetches one. A function is asked again before every connection, so it may hand out short-lived secrets. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** Fields for every `send`, such as `{ prompt: { id: 'support' } }`. What a `send` says itself wins. */
  readonly defaults?: SendOptions;
  /** Longest pause before the first and before the latest reconnects; the real one is random below it (full jitter). */
  readonly reconnect?: { readonly firstDelayMs?: number; readonly maxDelayMs?: number };
  /** How long one attempt to connect may take. */
  readonly connectTimeoutMs?: number;
  /** Silence after which the network is tested, while an answer runs and while none does, and how long the test may take. */
  readonly ping?: { readonly busyAfterMs?: number; readonly idleAfterMs?: number; readonly timeoutMs?: number };
}

/** What a request may say beside its input: fields of OpenAI's `response.create`, passed on as they are. */
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
  /** Names this request, so that sending it again gives the same response. Default: a random one for each `send`. */
  readonly idempotencyKey?: string;
  /** Any further field of the protocol (`tools`, `text`, `reasoning`, …). */
  readonly [field: string]: unknown;
}

/** A string is one user message; items are OpenAI's input items. */
export type Input = string | readonly Readonly<Record<string, unknown>>[];

/** How the gateway is reached: `sse` where no WebSocket can be opened (answers by SSE, other devices' turns by asking now and then). */
export type Transport = 'websocket' | 'sse';

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'offline' | 'closed';

export interface StateChange {
  readonly state: ConnectionState;
  /** Why: the failure that led here; null where nothing is wrong. */
  readonly error: SluiceErrorShape | null;
  /** When the next attempt to connect is made; null where none is planned. */
  readonly retryInMs: number | null;
}

/** A frame of the protocol as it went over the socket, for inspectors and logs. */
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
  /** Connects. `send` and `resume` do so by themselves. Resolves when the connection is open, rejects when it is refused for good. */
  connect(): Promise<void>;
  /** Requests a response. Never throws: offline it waits, and the response reports what fails. */
  send(input: Input, options?: SendOptions): SluiceResponse;
  /** Resumes a response from a cursor: after a reload, on another page, on another device. Returns the response if it is followed already. */
  resume(cursor: Cursor): SluiceResponse;
  /**
   * A conversation and its future: what it holds, then every turn from any device, without a gap
   * and nothing twice. One that is subscribed to already is returned.
   */
  subscribe(conversation: string): Subscription;
  readonly conversations: Conversations;
  /** One call of the gateway's REST interface with this client's credential; rejects with a SluiceError. */
  request<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Calls `handler` on every such event; returns the function that ends that. */
  on<K extends keyof ClientEvents>(event: K, handler: (value: ClientEvents[K]) => void): () => void;
  /** Ends the connection. Running responses continue at the gateway and can be resumed by their cursor. */
  close(): void;
}

/** `waiting`: the gateway has not answered yet. `refused`: it never became a response. `lost`: it can't be followed any more. */
export type ResponseStatus =
  'waiting' | 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled' | 'refused' | 'lost';

/** The position of a viewer in a response. Plain data: keep it as JSON and pass it to `resume`. */
export interface Cursor {
  readonly id: string;
  /** Sequence number of the last event seen; −1 or absent: none. */
  readonly after?: number;
  /** The text up to there. */
  readonly text?: string;
}

export interface ResponseEvents {
  /** Text to add to what is shown. */
  delta: string;
  /** The whole text, to be shown in place of what was: only where the text handed to `resume` was not the response's own. */
  replace: string;
  /** Text of a refusal to add: what a guardrail or the model says in place of (more of) an answer. */
  refusal: string;
  status: ResponseStatus;
  /** Each event of the response once and in order, as the gateway sent it. */
  event: WireEvent;
  /** The end. Exactly one of both is there. */
  end: { readonly response: ResponseObject | null; readonly error: SluiceErrorShape | null };
}

/** One response, running or ended. Iterating it yields its text from the start, as it comes; each loop on its own. */
export interface SluiceResponse extends AsyncIterable<string> {
  /** Null until the gateway has accepted the request. */
  readonly id: string | null;
  readonly status: ResponseStatus;
  /** The text so far. */
  readonly text: string;
  /** The refusal so far; empty where there is none. */
  readonly refusal: string;
  /** Where this viewer stands; null until the gateway has accepted the request. */
  readonly cursor: Required<Cursor> | null;
  /** The name this request goes by when it is sent again; null for a resumed one. */
  readonly idempotencyKey: string | null;
  /** The response as it ended, whatever its status. Rejects with a SluiceError only when it was refused or lost. */
  readonly final: Promise<ResponseObject>;
  on<K extends keyof ResponseEvents>(event: K, handler: (value: ResponseEvents[K]) => void): () => void;
  /** Asks the gateway to stop. The end still comes by `final`; the text so far stays. */
  cancel(): void;
}

/** What a SluiceError says. `kind`: the gateway said no; the response can't be followed any more; this side stopped. */
export interface SluiceErrorShape extends Error {
  readonly kind: 'refused' | 'lost' | 'closed';
  /** A code of the gateway's (`rate_limit_exceeded`, …) or of the client's own (`network`, `closed`, `cancelled`, …). */
  readonly code: string;
  /** HTTP status; null where the client itself says it. */
  readonly status: number | null;
  /** The field of the request at fault. */
  readonly param: string | null;
  /** When trying again makes sense; null where nothing is known. */
  readonly retryAfterMs: number | null;
}

/** What a subscription tells, in this order: what the conversation holds, `caught_up`, then its turns. Items come later too, where they were missed. */
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
  /** No more comes: it was closed (null), or the gateway no longer lets this conversation be followed. */
  end: SluiceErrorShape | null;
}

/** One conversation, followed. Iterating it yields all from the start and ends with `close`; it throws where the gateway ends it. */
export interface Subscription extends AsyncIterable<ConversationEvent> {
  readonly conversation: string;
  on<K extends keyof SubscriptionEvents>(event: K, handler: (value: SubscriptionEvents[K]) => void): () => void;
  close(): void;
}

/** The gateway's REST calls for conversations; each rejects with a SluiceError. */
export interface Conversations {
  create(body?: { readonly metadata?: Readonly<Record<string, string>> }): Promise<ConversationObject>;
  retrieve(id: string): Promise<ConversationObject>;
  /** The caller's own, newest change first. */
  list(paging?: Paging): Promise<List<ConversationObject>>;
  items(id: string, paging?: Paging & { readonly order?: 'asc' | 'desc' }): Promise<List<ConversationItem>>;
  /** Replaces the metadata. */
  update(id: string, body: { readonly metadata: Readonly<Record<string, string>> }): Promise<ConversationObject>;
  /** Sets the title and leaves the other metadata as it is. */
  rename(id: string, title: string): Promise<ConversationObject>;
  delete(id: string): Promise<void>;
}

export interface Paging {
  /** From 1 to 100; the gateway's default is 20. */
  readonly limit?: number;
  /** Id of the last one of the page before. */
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
    /** `metadata.title`, or the beginning of its first question. */
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
  /** Of a message. */
  readonly role?: 'user' | 'assistant' | 'system' | 'developer';
  readonly content?: readonly { readonly type: string; readonly text?: string; readonly refusal?: string }[];
  readonly call_id?: string;
  readonly name?: string;
  readonly arguments?: string;
  readonly output?: string;
  readonly sluice: {
    /** The response that brought it; null where it was written by REST. */
    readonly response_id: string | null;
    /** A guardrail refused it: shown to people, never sent to a model. */
    readonly withheld: boolean;
  };
}

/** An event of the protocol. PROTOCOL.md lists them; only what the client itself reads is named here. */
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
  /** Of a function call. */
  readonly call_id?: string;
  readonly name?: string;
  readonly arguments?: string;
}

/** The response object (OpenAI's), with the gateway's own facts under `sluice`. */
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
