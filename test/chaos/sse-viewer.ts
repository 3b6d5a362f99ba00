/*
 * A viewer over HTTP: asks or watches by SSE, and resumes with `starting_after` after every break.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request, type RequestOptions } from 'node:http';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { type WireEvent } from '../../client/src/api.js';
import { slowness } from '../support/machine.js';
import { inputOf, type Question } from './own-viewer.js';
import { type Truth, View } from './truth.js';

const AGAIN_MS = 200;
/** A stream of which nothing is heard, not even a keep-alive, is left. */
const SILENCE_MS = 6_000 * slowness();

export class SseViewer {
  readonly #stop = new AbortController();

  constructor(
    readonly truth: Truth,
    readonly url: string,
  ) {}

  ask(question: Question): View {
    const { deltas, conversation } = question;
    const view = new View(this.truth, 'sse', { deltas, conversation });
    const key = randomUUID();
    const body = JSON.stringify({ input: inputOf(question), stream: true, conversation: conversation ?? null });
    void this.#follow(view, (signal) =>
      exchange(
        `${this.url}/v1/responses`,
        { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': key }, signal },
        body,
      ),
    );
    return view;
  }

  /** From after event `after`, as if what came before had been seen. */
  watch(id: string, after: number): View {
    const view = new View(this.truth, 'sse late', { after });
    view.id = id;
    void this.#follow(view, () => Promise.reject(new Error('it has an id')));
    return view;
  }

  close(): void {
    this.#stop.abort();
  }

  async #follow(view: View, create: (signal: AbortSignal) => Promise<IncomingMessage>): Promise<void> {
    while (!view.over && !this.#stop.signal.aborted) {
      const silence = new Silence();
      const signal = AbortSignal.any([this.#stop.signal, silence.signal]);
      try {
        await this.#read(view, view.id === undefined ? await create(signal) : await this.#goOn(view, signal), silence);
      } catch {
        // The connection broke, or there was no answer.
      } finally {
        silence.end();
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  #goOn({ id, last }: View, signal: AbortSignal): Promise<IncomingMessage> {
    const query = last < 0 ? 'stream=true' : `stream=true&starting_after=${last}`;
    return exchange(`${this.url}/v1/responses/${id}?${query}`, { signal });
  }

  async #read(view: View, answer: IncomingMessage, silence: Silence): Promise<void> {
    if (answer.statusCode !== 200) return this.#refused(view, answer);
    // The stream of a body has bytes.
    const texts = (Readable.toWeb(answer) as ReadableStream<Uint8Array>).pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (bytes, out) => {
          silence.heard();
          out.enqueue(bytes);
        },
      }),
    );
    for await (const { data } of texts
      .pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)
      .pipeThrough(new EventSourceParserStream())) {
      // Every event is JSON; a last one without a type is an error.
      const event = JSON.parse(data) as WireEvent;
      if (event.type === undefined || event.type === 'error') return;
      // A repeated creation begins at the start.
      if ((event.sequence_number ?? -1) > view.last) view.hear(event);
      if (view.over) return;
    }
    if (!view.over) this.truth.violations.push(`${view.kind} ${view.id}: a stream ended cleanly without an end`);
  }

  async #refused(view: View, answer: IncomingMessage): Promise<void> {
    // Errors have this shape.
    const { error } = (await json(answer)) as { readonly error: { readonly code: string } };
    // 408: its replica was paused before it had read the request.
    if ([408, 409, 429, 502, 503].includes(answer.statusCode ?? 0) && error.code !== 'conversation_busy') return;
    if (view.id === undefined) view.refuse(error.code);
    else view.lose(error.code);
  }
}

/**
 * Sends a request on a connection of its own. Not by `fetch`, which takes the end of such a
 * connection for the end of the body, so that a replica that was killed would seem to have ended
 * its stream.
 */
async function exchange(url: string, options: RequestOptions, body?: string): Promise<IncomingMessage> {
  const sent = request(url, { ...options, agent: false });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  // An error after the head is also that of the body.
  sent.on('error', () => undefined);
  return answer;
}

/** Aborts when nothing is heard for too long. */
class Silence {
  readonly #abort = new AbortController();
  #timer = setTimeout(() => this.#abort.abort(), SILENCE_MS);

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  heard(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
