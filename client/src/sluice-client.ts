/*
 * The client: responses over one connection. It gives each running response a lane of its own, resumes all of them on every
 * fresh socket, and keeps what is sent while there is none. READ THIS FIRST; connection.ts and response.ts are its two halves.
 */

import {
  type ClientEvents,
  type ClientOptions,
  type ConnectionState,
  type ConversationObject,
  type Cursor,
  type Input,
  type SendOptions,
  type Sluice,
  type SluiceResponse,
  type WireEvent,
} from './api.js';
import { Connection } from './connection.js';
import { Emitter } from './emitter.js';
import { type Environment } from './environment.js';
import { SluiceError } from './errors.js';
import { baseUrl, errorFrom, request, tokenOf } from './http.js';
import { LiveResponse } from './response.js';

/** A gateway runs 16 responses a connection, so more lanes would only be refused. */
const LANES = 16;
/** Answers to a resume that say: not now, but later. */
const LATER = new Set([429, 503]);
const RESUME_AGAIN_MS = 1_000;

/** A response that has not ended, and how it stands on the present socket. */
interface Run {
  readonly response: LiveResponse;
  /** What creates it; null where it was only resumed. */
  readonly create: WireEvent | null;
  /** Its lane on this socket; null: nothing was sent on this socket yet. */
  lane: string | null;
  /** Was its create ever sent, on whatever socket? */
  sent: boolean;
  /** A resume is under way: events that come before its answer may leave a gap. */
  resuming: boolean;
  /** Resumes since the last event that was taken. */
  gaps: number;
}

export class SluiceClient implements Sluice {
  readonly conversations = {
    create: (body: object = {}): Promise<ConversationObject> => this.request('POST', '/v1/conversations', body),
  };
  readonly #options: ClientOptions;
  readonly #base: string;
  readonly #environment: Environment;
  readonly #connection: Connection;
  readonly #events = new Emitter<ClientEvents>();
  /** In the order in which they were asked for. */
  readonly #runs = new Set<Run>();
  #maxMessageBytes = 1024 * 1024;

  constructor(options: ClientOptions, environment: Environment) {
    this.#options = options;
    this.#base = baseUrl(options.url);
    this.#environment = environment;
    this.#connection = new Connection(options, this.#base, environment, {
      opened: () => this.#opened(),
      received: (event) => this.#received(event),
      changed: (change) => {
        if (change.state === 'closed') this.#failAll(change.error);
        this.#events.emit('state', change);
      },
      busy: () => [...this.#runs].some((run) => run.lane !== null),
    });
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  on<K extends keyof ClientEvents>(event: K, handler: (value: ClientEvents[K]) => void): () => void {
    return this.#events.on(event, handler);
  }

  connect(): Promise<void> {
    if (this.state === 'open') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const forget = this.on('state', ({ state, error }) => {
        if (state !== 'open' && state !== 'closed') return;
        forget();
        if (state === 'open') resolve();
        else reject(error ?? closedHere());
      });
      this.#connection.open();
    });
  }

  close(): void {
    this.#connection.close();
  }

  send(input: Input, options: SendOptions = {}): SluiceResponse {
    const { idempotencyKey = randomKey(), ...fields } = { ...this.#options.defaults, ...options };
    const create = { type: 'response.create', input, ...fields, 'sluice:idempotency_key': idempotencyKey };
    return this.#start(new LiveResponse({ idempotencyKey }, (response) => this.#cancel(response)), create);
  }

  resume(cursor: Cursor): SluiceResponse {
    for (const { response } of this.#runs) if (response.id === cursor.id) return response;
    return this.#start(new LiveResponse({ cursor }, (response) => this.#cancel(response)), null);
  }

  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = await tokenOf(this.#options.token);
    // The caller names the shape that the gateway's documentation gives.
    return (await request(this.#environment, this.#base, token, method, path, body)) as T;
  }

  #start(response: LiveResponse, create: WireEvent | null): LiveResponse {
    const run: Run = { response, create, lane: null, sent: false, resuming: false, gaps: 0 };
    this.#runs.add(run);
    response.on('end', () => this.#end(run));
    if (create !== null && new TextEncoder().encode(JSON.stringify(create)).length + 64 > this.#maxMessageBytes) {
      response.fail(new SluiceError('refused', 'payload_too_large', 'The message is too long to be sent.'));
    } else {
      this.#connection.open();
      this.#flush();
    }
    return response;
  }

  #opened(): void {
    for (const run of this.#runs) run.lane = null;
    this.#flush();
  }

  /** Puts every run without a lane on one, as far as there are free ones: oldest first. */
  #flush(): void {
    for (const run of this.#runs) {
      if (run.lane !== null) continue;
      const fresh = run.response.id === null;
      if (this.state !== 'open' || (fresh && !this.#connection.accepting)) continue;
      const lane = this.#freeLane();
      if (lane === null) return;
      run.lane = lane;
      run.gaps = 0;
      if (fresh && run.create !== null) {
        run.sent = true;
        run.resuming = false;
        this.#write({ ...run.create, stream_id: lane });
      } else {
        this.#resume(run);
      }
      if (run.response.cancelAsked) this.#cancel(run.response);
    }
  }

  #resume(run: Run): void {
    const { id, after } = run.response.cursor ?? {};
    run.resuming = true;
    this.#write({ type: 'sluice:resume', response_id: id, starting_after: after, stream_id: run.lane });
  }

  #freeLane(): string | null {
    const taken = new Set([...this.#runs].map((run) => run.lane));
    for (let i = 0; i < LANES; i++) if (!taken.has(`lane${i}`)) return `lane${i}`;
    return null;
  }

  #received(event: WireEvent): void {
    this.#events.emit('frame', { direction: 'in', data: event });
    if (event.type === 'sluice:hello') {
      this.#maxMessageBytes = Number(event['max_message_bytes'] ?? this.#maxMessageBytes);
      return;
    }
    const run = [...this.#runs].find(({ lane, response }) =>
      event.response_id === undefined ? lane !== null && lane === event.stream_id : response.id === event.response_id,
    );
    if (event.type === 'error') this.#refused(run, event);
    else if (run === undefined) return;
    else if (event.type === 'sluice:resumed') run.resuming = false;
    else if (event.type === 'sluice:snapshot' || event.type.startsWith('response.')) this.#feed(run, event);
  }

  #feed(run: Run, event: WireEvent): void {
    if (event.type === 'sluice:snapshot') run.resuming = false;
    const outcome = run.response.take(event);
    if (outcome === 'taken') run.gaps = 0;
    if (outcome !== 'gap' || run.resuming) return;
    if (run.response.id !== null && ++run.gaps <= 3) this.#resume(run);
    else
      run.response.fail(
        new SluiceError('lost', 'events_missing', 'Parts of the answer did not arrive and could not be fetched.'),
      );
  }

  #refused(run: Run | undefined, event: WireEvent): void {
    const status = Number(event['status'] ?? 0);
    const error = errorFrom(status, event);
    if (run === undefined) {
      this.#events.emit('error', error);
    } else if (error.code === 'draining') {
      // The next socket takes it.
      run.lane = null;
      this.#connection.settle();
    } else if (run.response.id === null) {
      run.response.fail(error);
    } else if (!run.resuming) {
      this.#events.emit('error', error);
    } else if (LATER.has(status)) {
      setTimeout(() => {
        if (!run.response.ended && run.lane !== null) this.#resume(run);
      }, error.retryAfterMs ?? RESUME_AGAIN_MS);
    } else {
      run.response.fail(errorFrom(status, event, null, 'lost'));
    }
  }

  #cancel(response: LiveResponse): void {
    const run = [...this.#runs].find((each) => each.response === response);
    if (run === undefined) return;
    if (run.lane !== null) {
      this.#write(
        response.id === null
          ? { type: 'response.cancel', stream_id: run.lane }
          : { type: 'response.cancel', response_id: response.id },
      );
    } else if (!run.sent && response.id === null) {
      response.fail(new SluiceError('closed', 'cancelled', 'It was cancelled before it was sent.'));
    }
  }

  #write(frame: WireEvent | Record<string, unknown>): void {
    // Every frame written here has a type.
    const data = frame as WireEvent;
    if (this.#connection.send(data)) this.#events.emit('frame', { direction: 'out', data });
  }

  #end(run: Run): void {
    this.#runs.delete(run);
    this.#connection.settle();
    this.#flush();
  }

  #failAll(error: ClientEvents['error'] | null): void {
    const { code, message, status } = error ?? closedHere();
    for (const { response } of [...this.#runs]) {
      // What the gateway has accepted is only out of sight.
      const kind = error === null ? 'closed' : response.id === null ? 'refused' : 'lost';
      response.fail(new SluiceError(kind, code, message, { status }));
    }
  }
}

function closedHere(): SluiceError {
  return new SluiceError('closed', 'closed', 'The client was closed.');
}

/** Works on plain http too, where `crypto.randomUUID` is missing. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
