/*
 * A program on the official client, unmodified: it reconnects by itself, names what it has seen in
 * `?resume=`, and asks again, under the same key, for what it has not heard of. A few lanes, a
 * question at a time in each.
 */

import { randomUUID } from 'node:crypto';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { type WireEvent } from '../../client/src/api.js';
import { officialClient } from '../official/official.js';
import { inputOf, type Question } from './own-viewer.js';
import { type Truth, View } from './truth.js';

interface Asked {
  readonly lane: string;
  readonly view: View;
  readonly question: Question;
  readonly key: string;
}

/** Errors that say: not now, but later. */
const LATER = new Set(['state_unavailable', 'draining', 'overloaded']);
const AGAIN_MS = 300;

export class OfficialViewer {
  /** Times that the client gave up and the program made another one. */
  gaveUp = 0;
  readonly #open = new Map<string, Asked>();
  #ws: ResponsesWS;
  /** Counts sockets: what was to be said on an earlier one is not. */
  #sockets = 0;
  #closed = false;

  constructor(
    readonly truth: Truth,
    readonly url: string,
  ) {
    this.#ws = this.#connect();
  }

  /** `lane`: free ones only. */
  ask(lane: string, question: Question): View {
    const { deltas, conversation } = question;
    const view = new View(this.truth, 'official', { deltas, conversation });
    const asked = { lane, view, question, key: randomUUID() };
    this.#open.set(lane, asked);
    void view.done.then(() => this.#open.delete(lane));
    this.#create(asked);
    return view;
  }

  close(): void {
    this.#closed = true;
    this.#ws.close();
  }

  #connect(): ResponsesWS {
    const resume = this.#points();
    const client = officialClient(this.url, resume === '' ? {} : { defaultQuery: { resume } });
    const ws = new ResponsesWS(client, {
      reconnect: {
        initialDelay: 50,
        maxDelay: 1_000,
        onReconnecting: () => ({ parameters: { resume: this.#points() } }),
      },
    });
    ws.on('error', () => undefined);
    // The extensions that the client does not know come the same way.
    ws.on('event', (event) => this.#hear(event as unknown as WireEvent));
    ws.socket.once('open', () => this.#opened());
    ws.on('reconnected', () => this.#opened());
    ws.on('close', () => {
      if (this.#closed || ws !== this.#ws) return;
      this.gaveUp += 1;
      setTimeout(() => {
        if (this.#closed) return;
        this.#ws = this.#connect();
      }, AGAIN_MS);
    });
    return ws;
  }

  /** What has been heard of, and up to where: `id:last:lane,…`. */
  #points(): string {
    return [...this.#open.values()]
      .filter(({ view }) => view.id !== undefined)
      .map(({ view, lane }) => `${view.id}:${view.last}:${lane}`)
      .join(',');
  }

  #opened(): void {
    this.#sockets += 1;
    for (const asked of this.#open.values()) if (asked.view.id === undefined) this.#create(asked);
  }

  #create({ lane, question, key }: Asked): void {
    this.#send({
      type: 'response.create',
      input: inputOf(question),
      stream_id: lane,
      conversation: question.conversation ?? null,
      'sluice:idempotency_key': key,
    });
  }

  /**
   * Between two sockets nothing is said: the next one names it all again, and the client's own
   * queue would say it twice.
   */
  #send(event: object): void {
    if (this.#ws.socket.readyState === WebSocket.OPEN) this.#ws.sendRaw(JSON.stringify(event));
  }

  #hear(event: WireEvent): void {
    const asked = this.#open.get(event.stream_id ?? '');
    if (asked === undefined) return;
    if (event.type.startsWith('response.')) {
      asked.view.hear(event);
    } else if (event.type === 'sluice:snapshot') {
      // Who has resumed by `sluice:resume` on this socket knows snapshots.
      asked.view.skip(event.response_id ?? '', event.sequence_number ?? -1);
    } else if (event.type === 'error') this.#refused(asked, event);
  }

  #refused(asked: Asked, event: WireEvent): void {
    // An error event of the gateway's has this shape.
    const { code } = event['error'] as { readonly code: string };
    const { view, lane } = asked;
    if (!LATER.has(code)) {
      if (view.id === undefined) view.refuse(code);
      else view.lose(code);
      return;
    }
    const { id } = view;
    const socket = this.#sockets;
    setTimeout(() => {
      if (view.over || this.#closed || socket !== this.#sockets) return;
      if (id === undefined) this.#create(asked);
      else this.#send({ type: 'sluice:resume', response_id: id, starting_after: view.last, stream_id: lane });
    }, AGAIN_MS);
  }
}
