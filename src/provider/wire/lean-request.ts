/*
 * Sends one request over undici and passes the body of a successful answer on as bytes, chunk by
 * chunk, straight from undici's parser: no fetch, no web stream, no promise for each chunk. Answers
 * of other statuses are read as text. Knows no SSE and no JSON.
 */

import { type Dispatcher } from 'undici';
import { type BodyReader, decodeWhole, decoding } from './content-coding.js';
import { type PacedSocket, socketBeingRead } from './paced-socket.js';

/** Most bytes that are kept for a reader before the socket is paused. */
const MAX_EARLY_BYTES = 64 * 1024;

/**
 * A body that has not been read yet. What arrives before `read` is kept; above a bound the socket
 * is paused until then.
 */
export class LeanBody {
  #reader: BodyReader | undefined;
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  #outcome: { readonly error?: Error } | undefined;

  readonly #socket: PacedSocket | undefined;

  /**
   * @param encoding the answer's `Content-Encoding`; `read` passes decoded bytes
   * @param socket the connection of the answer, if its reads can be delayed
   * @param requestId the server's own id of the request
   */
  constructor(
    readonly controller: Dispatcher.DispatchController,
    readonly encoding: string,
    socket?: PacedSocket,
    readonly requestId?: string,
  ) {
    this.#socket = socket;
  }

  read(to: BodyReader): void {
    const reader = decoding(to, this.encoding);
    this.#reader = reader;
    for (const chunk of this.#early.splice(0)) reader.onChunk(chunk);
    if (this.#outcome !== undefined) this.#deliverEnd(reader, this.#outcome);
    else this.controller.resume();
  }

  /** Turns reading once per tick on or off. */
  pace(paced: boolean): void {
    if (this.#socket !== undefined && this.#outcome === undefined) this.#socket.paced = paced;
  }
  pause(): void {
    this.controller.pause();
  }
  resume(): void {
    this.controller.resume();
  }
  /** Closes the socket. Has no effect after the end. */
  destroy(reason: Error): void {
    if (this.#outcome === undefined) this.controller.abort(reason);
  }

  /** Takes a chunk from the dispatch handler below. */
  take(chunk: Buffer): void {
    if (this.#reader !== undefined) this.#reader.onChunk(chunk);
    else {
      this.#early.push(chunk);
      this.#earlyBytes += chunk.length;
      // The reader comes in the same round of the event loop. To pause undici's parser and to
      // resume it costs more than to keep a few bytes.
      if (this.#earlyBytes > MAX_EARLY_BYTES) this.pause();
    }
  }
  finish(outcome: { readonly error?: Error }): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    if (this.#socket !== undefined) this.#socket.paced = false;
    if (this.#reader !== undefined) this.#deliverEnd(this.#reader, outcome);
  }

  #deliverEnd(reader: BodyReader, outcome: { readonly error?: Error }): void {
    if (outcome.error === undefined) reader.onEnd();
    else reader.onError(outcome.error);
  }
}

export interface LeanRequest {
  readonly url: URL;
  /** Names and values, in turn. */
  readonly headers: string[];
  readonly body: string;
  readonly signal: AbortSignal;
}

/** An answer with a status outside 2xx. */
export interface RefusedAnswer {
  /** At most 599: a larger status counts as 500. */
  readonly status: number;
  readonly headers: Headers;
  /** The start of its body, decoded. */
  readonly text: string;
}

/** Most bytes kept of an error's body: enough for every error object. */
const MAX_ERROR_BYTES = 64 * 1024;

/**
 * Most redirects that are followed: servers that correct a path redirect once, and more is a loop.
 */
const MOST_REDIRECTS = 3;

/**
 * Posts a request. Follows 307 and 308 on the same origin only: the request keeps its method, and
 * its key stays with the intended server.
 * @throws undici's error (connection refused, DNS, TLS, reset), or the signal's reason
 */
export async function post(dispatcher: Dispatcher, request: LeanRequest): Promise<LeanBody | RefusedAnswer> {
  let answer = await postOnce(dispatcher, request);
  let { url } = request;
  for (let redirects = 0; redirects < MOST_REDIRECTS && !(answer instanceof LeanBody); redirects++) {
    const next = redirectOf(answer, url);
    if (next === undefined) return answer;
    url = next;
    answer = await postOnce(dispatcher, { ...request, url });
  }
  return answer;
}

function redirectOf({ status, headers }: RefusedAnswer, from: URL): URL | undefined {
  if (status !== 307 && status !== 308) return undefined;
  const to = URL.parse(headers.get('location') ?? '', from.href);
  return headers.has('location') && to?.origin === from.origin ? to : undefined;
}

function postOnce(
  dispatcher: Dispatcher,
  { url, headers, body, signal }: LeanRequest,
): Promise<LeanBody | RefusedAnswer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const handler = new AnswerHandler(signal, resolve, reject);
    const { origin, pathname, search } = url;
    dispatcher.dispatch({ origin, path: pathname + search, method: 'POST', headers, body }, handler);
  });
}

/** Takes one answer from undici. */
class AnswerHandler implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal;
  readonly #resolve: (answer: LeanBody | RefusedAnswer) => void;
  readonly #reject: (error: Error) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #body: LeanBody | undefined;
  #refusal: { readonly status: number; readonly headers: Headers } | undefined;
  readonly #refusalBody: Buffer[] = [];
  #refusalBytes = 0;

  constructor(
    signal: AbortSignal,
    resolve: (answer: LeanBody | RefusedAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) controller.abort(asError(this.#signal.reason));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    if (status < 200) return;
    if (status >= 300) {
      this.#refusal = { status: status > 599 ? 500 : status, headers: flatHeaders(headers) };
      return;
    }
    this.#body = new LeanBody(
      controller,
      valueOf(headers, 'content-encoding'),
      socketBeingRead(),
      requestIdOf(headers),
    );
    // From here on the reader of the body watches the signal.
    this.#settle();
    this.#resolve(this.#body);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#body !== undefined) return this.#body.take(chunk);
    this.#refusalBytes += chunk.length;
    if (this.#refusalBytes <= MAX_ERROR_BYTES) this.#refusalBody.push(Buffer.from(chunk));
  }

  onResponseEnd(): void {
    this.#settle();
    if (this.#body !== undefined) this.#body.finish({});
    else if (this.#refusal !== undefined) this.#resolve({ ...this.#refusal, text: this.#refusalText(this.#refusal) });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle();
    this.#body?.finish({ error });
    this.#reject(error);
  }

  #refusalText({ headers }: { readonly headers: Headers }): string {
    const bytes = decodeWhole(Buffer.concat(this.#refusalBody), headers.get('content-encoding') ?? '');
    return new TextDecoder().decode(bytes);
  }

  /**
   * There is no controller until the connection is established. The caller does not wait for it;
   * the request is dropped afterwards.
   */
  readonly #onAbort = (): void => {
    const reason = asError(this.#signal.reason);
    this.#controller?.abort(reason);
    this.#reject(reason);
  };

  #settle(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Names of the header that carries the id, by provider. */
const REQUEST_ID_HEADERS = ['x-request-id', 'request-id', 'apim-request-id', 'cf-ray'];

/** Returns the id if it is one: a header may hold anything, and the id goes into the log. */
function requestIdOf(headers: AnswerHeaders): string | undefined {
  const name = REQUEST_ID_HEADERS.find((one) => headers[one] !== undefined);
  const id = name === undefined ? '' : valueOf(headers, name);
  return /^[\w.:-]{1,128}$/.test(id) ? id : undefined;
}

/** Returns the value of a header, or '' without one. undici writes names in lower case. */
function valueOf(headers: AnswerHeaders, name: string): string {
  const value = headers[name] ?? '';
  return Array.isArray(value) ? value.join(', ') : value;
}

function flatHeaders(headers: AnswerHeaders): Headers {
  const flat = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) flat.append(name, one);
  }
  return flat;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
