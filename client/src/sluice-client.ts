/*
 * The client: many responses over one connection. Gives each running response its own lane, resumes
 * all of them on every new socket, and queues requests while there is none. Read this file first,
 * then connection.ts and response.ts.
 */

import {
  type ClientEvents,
  type ClientOptions,
  type ConnectionState,
  type ConversationItem,
  type Conversations,
  type Cursor,
  type Input,
  type SendOptions,
  type Sluice,
  type SluiceResponse,
  type Subscription,
  type Transport,
  type WireEvent,
} from './api.js';
import { Connection } from './connection.js';
import { conversationsOver } from './conversations.js';
import { Emitter } from './emitter.js';
import { type Environment } from './environment.js';
import { closedHere, SluiceError } from './errors.js';
import { baseUrl, call, errorFrom, jsonOf, tokenOf } from './http.js';
import { LiveResponse, TERMINAL } from './response.js';
import { free, LANES, randomKey, RETRY_AFTER_MS, RETRY_LATER, type Run } from './run.js';
import { LiveSubscription } from './subscription.js';

export class SluiceClient extends Emitter<ClientEvents> implements Sluice {
  readonly conversations: Conversations = conversationsOver(this);
  readonly #options: ClientOptions;
  readonly #base: string;
  readonly #environment: Environment;
  readonly #connection: Connection;
  /** In the order in which they were requested. */
  readonly #runs = new Set<Run>();
  readonly #subscriptions = new Map<unknown, LiveSubscription>();
  /** Lanes whose response ended before its last resume was answered: its events come once more. */
  readonly #reserved = new Set<unknown>();
  #cancelTimer: ReturnType<typeof setTimeout> | undefined;
  #maxMessageBytes = 1024 * 1024;

  constructor(options: ClientOptions, environment: Environment) {
    super();
    this.#options = options;
    this.#base = baseUrl(options.url);
    this.#environment = environment;
    this.#connection = new Connection(options, this.#base, environment, {
      opened: () => this.#opened(),
      received: (event) => this.#received(event),
      sent: (data) => this.emit('frame', { direction: 'out', data }),
      changed: (change) => {
        if (change.state === 'closed') this.#failAll(change.error);
        this.emit('state', change);
      },
      busy: () => [...this.#runs].some((run) => run.lane !== null),
    });
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  get transport(): Transport {
    return this.#connection.transport;
  }

  async connect(): Promise<void> {
    if (this.state === 'open') return;
    await new Promise<void>((resolve, reject) => {
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
    const response = new LiveResponse({ idempotencyKey }, (each) => this.#cancel(each));
    this.#subscriptions.get(fields.conversation)?.own(response, input);
    return this.#start(response, create);
  }

  subscribe(conversation: string): Subscription {
    const present = this.#subscriptions.get(conversation);
    if (present?.ended === false) return present;
    const lanes = new Set([...this.#subscriptions.values()].map(({ lane }) => lane));
    const subscription = new LiveSubscription(conversation, free('watch', lanes), {
      items: (after) => this.conversations.items(conversation, { limit: 100, order: 'asc', ...(after && { after }) }),
      follow: (id) => this.resume({ id }),
      closed: (closed) => this.#unsubscribe(closed),
    });
    this.#subscriptions.set(conversation, subscription);
    // The gateway does not announce this client's own earlier turns. Report them when the caller
    // has added its listeners.
    queueMicrotask(() => {
      for (const { response, create } of this.#runs)
        if (create?.['conversation'] === conversation) subscription.own(response, create['input'] as Input);
    });
    this.#connection.open();
    this.#watch(subscription);
    return subscription;
  }

  resume(cursor: Cursor): LiveResponse {
    const present = [...this.#runs].find(({ response }) => response.id === cursor.id);
    return present?.response ?? this.#start(new LiveResponse({ cursor }, (response) => this.#cancel(response)), null);
  }

  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = await tokenOf(this.#options.token);
    const answer = await call(this.#environment, this.#base, token, method, path, { body });
    // The caller names the type that the gateway documents.
    return (await jsonOf(answer)) as T;
  }

  #start(response: LiveResponse, create: WireEvent | null): LiveResponse {
    const run: Run = { response, create, lane: null, resuming: false, gaps: 0 };
    this.#runs.add(run);
    response.on('end', () => this.#end(run));
    if (create !== null && new TextEncoder().encode(JSON.stringify(create)).length + 64 > this.#maxMessageBytes) {
      response.fail(new SluiceError('refused', 'payload_too_large', 'The message is too long.'));
    } else {
      this.#connection.open();
      this.#flush();
    }
    return response;
  }

  #opened(): void {
    for (const run of this.#runs) run.lane = null;
    this.#reserved.clear();
    this.#flush();
    for (const [conversation, subscription] of this.#subscriptions) {
      if (subscription.ended) this.#subscriptions.delete(conversation);
      this.#watch(subscription);
    }
  }

  /** Assigns free lanes to runs without one, oldest first. */
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
        run.response.sent = true;
        this.#connection.send({ ...run.create, stream_id: lane });
      } else this.#resume(run);
      if (run.response.cancelRequested) this.#cancel(run.response);
    }
  }

  #resume(run: Run): void {
    const { cursor, ended } = run.response;
    if (cursor === null || run.lane === null || ended) return;
    run.resuming = true;
    const { id, after } = cursor;
    // The caller's cursor may be at the end, after which no event follows: receive its event again.
    const starting_after = run.create || after < 0 ? after : after - 1;
    this.#connection.send({ type: 'sluice:resume', response_id: id, starting_after, stream_id: run.lane });
  }

  #freeLane(): string | null {
    const taken = new Set<unknown>(this.#reserved);
    for (const { lane } of this.#runs) if (lane !== null) taken.add(lane);
    return taken.size < LANES[this.transport] ? free('lane', taken) : null;
  }

  #watch({ conversation, ended, lane }: LiveSubscription): void {
    if (!ended) this.#connection.send({ type: 'sluice:subscribe', conversation, stream_id: lane });
  }

  #unsubscribe({ conversation, turns }: LiveSubscription): void {
    // The gateway may have sent events in its lane before it reads this. If a later subscription
    // had the same lane, it would take them for its own. The lane is free after the answer.
    this.#connection.send({ type: 'sluice:unsubscribe', conversation });
    // Responses with a viewer continue without the subscription.
    for (const run of this.#runs)
      if (run.lane !== null && !run.resuming && run.create === null && turns.has(run.response)) this.#resume(run);
  }

  /** Handles an event of a followed conversation. */
  #subscription(subscription: LiveSubscription, event: WireEvent): void {
    // Every event that is handled here as a turn has this field.
    const id = event.response_id as string;
    if (event.type === 'sluice:subscribed') void subscription.subscribed();
    else if (event.type === 'sluice:turn') void subscription.turn(id, event['input'] as readonly ConversationItem[]);
    else if (event.type === 'error') {
      const error = errorFrom(Number(event['status']), event);
      if (error.param === 'conversation') subscription.end(error);
      else if (error.status === 401 || RETRY_LATER.has(error.status))
        setTimeout(() => this.#watch(subscription), error.retryAfterMs ?? RETRY_AFTER_MS);
      else this.emit('error', error);
    }
  }

  #received(event: WireEvent): void {
    const inLane = [...this.#runs].find(({ lane }) => lane === event.stream_id);
    // A repeated create may receive a snapshot in place of `response.created`.
    if (event.type === 'sluice:snapshot') inLane?.response.identify(event.response_id ?? null);
    this.emit('frame', { direction: 'in', data: event });
    if (event.type === 'sluice:hello')
      this.#maxMessageBytes = Number(event['max_message_bytes'] ?? this.#maxMessageBytes);
    if (event.type === 'sluice:unsubscribed' && this.#subscriptions.get(event['conversation'])?.ended)
      this.#subscriptions.delete(event['conversation']);
    const watched = [...this.#subscriptions.values()].find(({ lane }) => lane === event.stream_id);
    if (watched !== undefined) return this.#subscription(watched, event);
    const { response_id: id, type } = event;
    const run = id === undefined ? inLane : [...this.#runs].find(({ response }) => response.id === id);
    if (!run && (type === 'error' || TERMINAL.test(type)) && this.#reserved.delete(event.stream_id)) this.#flush();
    else if (type === 'error') this.#refused(run, event);
    else if (run === undefined) return;
    else if (type === 'sluice:resumed') run.resuming = false;
    else if (type === 'sluice:snapshot' || type.startsWith('response.')) this.#feed(run, event);
  }

  #feed(run: Run, event: WireEvent): void {
    if (event.type === 'sluice:snapshot') run.resuming = false;
    const outcome = run.response.take(event);
    if (outcome === 'taken') run.gaps = 0;
    if (outcome === 'gap' && !run.resuming)
      this.#repair(run, new SluiceError('lost', 'events_missing', 'Parts of the answer did not arrive.'));
  }

  /** Resumes a response whose events have stopped, a few times. */
  #repair(run: Run, error: SluiceError): void {
    if (run.response.id !== null && ++run.gaps <= 3) this.#resume(run);
    else run.response.fail(error);
  }

  #refused(run: Run | undefined, event: WireEvent): void {
    const error = errorFrom(Number(event['status']), event, null, run?.response.id ? 'lost' : 'refused');
    if (run === undefined) {
      if (RETRY_LATER.has(error.status)) this.#cancelLater(error);
      this.emit('error', error);
    } else if (error.code === 'draining') {
      // The next socket sends it again.
      run.lane = null;
      this.#connection.settle();
    } else if (!run.resuming) {
      this.#repair(run, error);
    } else if (RETRY_LATER.has(error.status)) {
      setTimeout(() => this.#resume(run), error.retryAfterMs ?? RETRY_AFTER_MS);
    } else {
      // The resume is answered: its lane is free.
      run.resuming = false;
      run.response.fail(error);
    }
  }

  /** Never by lane: the refusal could come after the end, and end the next response of the lane. */
  #cancel(response: LiveResponse): void {
    if (response.id !== null) this.#connection.send({ type: 'response.cancel', response_id: response.id });
    else if (!response.sent) response.fail(new SluiceError('closed', 'cancelled', 'It was cancelled unsent.'));
  }

  /** Requests all cancels again, because a refusal does not name its response. */
  #cancelLater({ retryAfterMs }: SluiceError): void {
    // A timer for each refusal would multiply the cancels with every retry.
    clearTimeout(this.#cancelTimer);
    this.#cancelTimer = setTimeout(() => {
      for (const { response } of this.#runs) if (response.cancelRequested) this.#cancel(response);
    }, retryAfterMs ?? RETRY_AFTER_MS);
  }

  #end(run: Run): void {
    this.#runs.delete(run);
    if (run.resuming) this.#reserved.add(run.lane);
    this.#connection.settle();
    this.#flush();
  }

  #failAll(error: ClientEvents['error'] | null): void {
    const { code, message, status } = error ?? closedHere();
    for (const { response } of [...this.#runs]) {
      // An accepted response continues at the gateway, so it is lost for this client only.
      const kind = error === null ? 'closed' : response.id === null ? 'refused' : 'lost';
      response.fail(new SluiceError(kind, code, message, { status }));
    }
    for (const subscription of [...this.#subscriptions.values()])
      subscription.end(error === null ? null : new SluiceError('lost', code, message, { status }));
  }
}
