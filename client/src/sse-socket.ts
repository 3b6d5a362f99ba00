/*
 * A replacement for a WebSocket: sends frames as HTTP calls and receives events by SSE. A broken
 * stream closes the whole socket, and the next one resumes. Knows no responses.
 */

import { type WireEvent } from './api.js';
import { type Socket, type SocketEvent } from './environment.js';
import { type SluiceError } from './errors.js';
import { type Call } from './http.js';
import { TERMINAL } from './response.js';

/** Silence after which a stream counts as broken. The gateway sends at least every 15 seconds. */
const SILENCE_MS = 40_000;
/** Interval of polls for turns of a followed conversation. */
const POLL_MS = 4_000;

type Listener = (event: SocketEvent) => void;

export class SseSocket implements Socket {
  readonly #call: (method: string, path: string, call: Call) => Promise<Response>;
  readonly #listeners = new Map<string, Listener>();
  readonly #gone = new AbortController();
  readonly #polls = new Map<unknown, ReturnType<typeof setInterval>>();

  constructor(call: (method: string, path: string, call: Call) => Promise<Response>) {
    this.#call = call;
    void this.#probe({ type: 'sluice:hello' });
  }

  /** Supports one listener for each type. */
  addEventListener(type: 'open' | 'message' | 'close', listener: Listener): void {
    this.#listeners.set(type, listener);
  }

  send(data: string): void {
    // The client has written this frame.
    const frame = JSON.parse(data) as WireEvent;
    const { type, stream_id: lane = '', response_id: id, ...fields } = frame;
    switch (type) {
      case 'response.create': {
        const { 'sluice:idempotency_key': key, ...request } = fields;
        const body = { ...request, stream: true };
        // The client adds a key to every create.
        void this.#stream(lane, 'POST', '/v1/responses', { body, idempotencyKey: key as string });
        break;
      }
      case 'sluice:resume': {
        const after = Number(fields['starting_after'] ?? -1);
        const cursor = after < 0 ? '' : `&starting_after=${after}`;
        void this.#stream(lane, 'GET', `/v1/responses/${id}?stream=true${cursor}`, {}, id);
        break;
      }
      case 'response.cancel':
        this.#call('POST', `/v1/responses/${id}/cancel`, {}).catch((thrown: SluiceError) => this.#failed(thrown));
        break;
      case 'sluice:ping':
        void this.#probe({ type: 'sluice:pong', id: fields['id'] });
        break;
      case 'sluice:subscribe':
      case 'sluice:unsubscribe': {
        // Each `sluice:subscribed` makes the subscription read the items again.
        const answer = (): void => this.#deliver({ ...frame, type: `${type}d` });
        const { conversation } = fields;
        clearInterval(this.#polls.get(conversation));
        if (type === 'sluice:subscribe') this.#polls.set(conversation, setInterval(answer, POLL_MS));
        queueMicrotask(answer);
      }
    }
  }

  close(): void {
    this.#listeners.clear();
    this.#gone.abort();
    for (const poll of this.#polls.values()) clearInterval(poll);
  }

  /** Delivers an event if the gateway answers. */
  async #probe(answer: WireEvent): Promise<void> {
    try {
      await this.#call('GET', '/v1/models', { signal: this.#gone.signal });
      this.#deliver(answer);
    } catch {
      this.#break();
    }
  }

  /** Delivers one response's events in a lane, up to its terminal event. */
  async #stream(lane: string, method: string, path: string, call: Call, resumed?: string): Promise<void> {
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const restartWatchdog = (): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.#break(), SILENCE_MS);
    };
    try {
      restartWatchdog();
      const answer = await this.#call(method, path, { ...call, signal: this.#gone.signal });
      if (resumed) this.#deliver({ type: 'sluice:resumed', response_id: resumed });
      for await (const event of eventsOf(answer, restartWatchdog)) {
        this.#deliver({ ...event, stream_id: lane });
        if (TERMINAL.test(event.type)) return;
      }
      this.#break();
    } catch (thrown) {
      // Calls throw nothing else. The error of a stream that broke has no status.
      this.#failed(thrown as SluiceError, { stream_id: lane });
    } finally {
      clearTimeout(watchdog);
    }
  }

  /**
   * Delivers the gateway's refusal of a request. A missing answer, a 5xx of a proxy, and the answer
   * of a draining or paused replica break the socket: the next one repeats the request.
   */
  #failed({ status, code, message, param, retryAfterMs }: SluiceError, lane: Pick<WireEvent, 'stream_id'> = {}): void {
    const headers = { 'retry-after-ms': retryAfterMs };
    // A proxy may send anything as a code, a number too.
    if (!status || status === 408 || /^(?:http_5|draining$)/u.test(code)) this.#break();
    else this.#deliver({ type: 'error', status, ...lane, error: { code, message, param, headers } });
  }

  #deliver(event: WireEvent): void {
    this.#listeners.get('message')?.({ data: JSON.stringify(event) });
  }

  #break(): void {
    const listener = this.#listeners.get('close');
    this.close();
    listener?.({});
  }
}

/**
 * Yields the events of an SSE body. The gateway writes each as one `data` line. If the body breaks
 * off, the generator ends or throws.
 */
async function* eventsOf(answer: Response, restartWatchdog: () => void): AsyncGenerator<WireEvent, void> {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return;
    restartWatchdog();
    text += decoder.decode(value, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: (.*)/m.exec(block)?.[1];
      // The gateway sends JSON. An `error` event reports that the stream broke.
      const event = data === undefined ? null : (JSON.parse(data) as WireEvent);
      if (event?.type === 'error') return;
      if (event !== null) yield event;
    }
  }
}
