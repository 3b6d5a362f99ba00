/*
 * A `fetch` for the openai package that passes the body of a successful answer on as bytes, chunk
 * by chunk, straight from undici's parser, without a web stream or a promise for each chunk. Bodies
 * of errors are ordinary. Knows no SSE and no JSON.
 */

import { type Dispatcher } from 'undici';
import { type BodyReader, decodeWhole, decoding } from './content-coding.js';
import { type PacedSocket, socketBeingRead } from './paced-socket.js';

/**
 * A body that has not been read yet. What arrives before `read` is kept; the socket is paused until
 * then.
 */
export class LeanBody {
  #reader: BodyReader | undefined;
  readonly #early: Buffer[] = [];
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
      this.controller.pause();
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

/** Most bytes kept of an error's body: enough for every error object. */
const MAX_ERROR_BYTES = 64 * 1024;

const bodies = new WeakMap<Response, LeanBody>();

/** Returns the body of an answer that `leanFetch` returned with a 2xx status. */
export function bodyOf(response: Response): LeanBody {
  const body = bodies.get(response);
  if (body === undefined) throw new Error('unable to read the body; the answer did not come through leanFetch');
  return body;
}

type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/**
 * Most redirects that are followed: servers that correct a path redirect once, and more is a loop.
 */
const MOST_REDIRECTS = 3;

/**
 * Runs `fetch` over `dispatcher`, for requests whose body is text. Follows 307 and 308 on the same
 * origin only: the request keeps its method, and its key stays with the intended server. Rejects
 * with undici's error (connection refused, DNS, TLS, reset), or with the signal's reason.
 */
export function leanFetch(dispatcher: Dispatcher): Fetch {
  const once = fetchOnce(dispatcher);
  return async (input, init = {}) => {
    let url = new URL(input instanceof Request ? input.url : input);
    for (let redirects = 0; ; redirects++) {
      const response = await once(url, init);
      const next = redirects < MOST_REDIRECTS ? redirectOf(response, url) : undefined;
      if (next === undefined) return response;
      url = next;
    }
  };
}

function redirectOf({ status, headers }: Response, from: URL): URL | undefined {
  if (status !== 307 && status !== 308) return undefined;
  const to = URL.parse(headers.get('location') ?? '', from.href);
  return headers.has('location') && to?.origin === from.origin ? to : undefined;
}

function fetchOnce(dispatcher: Dispatcher): (url: URL, init: RequestInit) => Promise<Response> {
  return (url, init) => {
    const { signal } = init;
    return new Promise<Response>((resolve, reject) => {
      signal?.throwIfAborted();
      let controller: Dispatcher.DispatchController | undefined;
      let body: LeanBody | undefined;
      let head: { readonly status: number; readonly headers: Headers } | undefined;
      const errorBody: Buffer[] = [];
      let errorBytes = 0;
      // There is no controller until the connection is established. The caller does not wait for
      // it; the request is dropped afterwards.
      const onAbort = (): void => {
        const reason = asError(signal?.reason);
        controller?.abort(reason);
        reject(reason);
      };
      const settle = (): void => signal?.removeEventListener('abort', onAbort);
      signal?.addEventListener('abort', onAbort, { once: true });
      dispatcher.dispatch(
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method: init.method ?? 'GET',
          headers: [...new Headers(init.headers)].flat(),
          body: typeof init.body === 'string' ? init.body : null,
        },
        {
          onRequestStart(started) {
            controller = started;
            if (signal?.aborted) started.abort(asError(signal.reason));
          },
          onResponseStart(started, status, headers) {
            if (status < 200) return;
            head = { status, headers: flatHeaders(headers) };
            if (status >= 300) return;
            const encoding = head.headers.get('content-encoding') ?? '';
            body = new LeanBody(started, encoding, socketBeingRead(), requestIdOf(head.headers));
            const response = new Response(null, head);
            bodies.set(response, body);
            resolve(response);
          },
          onResponseData(_controller, chunk) {
            if (body !== undefined) return body.take(chunk);
            errorBytes += chunk.length;
            if (errorBytes <= MAX_ERROR_BYTES) errorBody.push(Buffer.from(chunk));
          },
          onResponseEnd() {
            settle();
            if (body !== undefined) body.finish({});
            else if (head !== undefined) resolve(errorResponse(head, Buffer.concat(errorBody)));
          },
          onResponseError(_controller, error) {
            settle();
            body?.finish({ error });
            reject(error);
          },
        },
      );
    });
  };
}

/**
 * Builds the response of an error. The constructor throws for a body with status 304 and for
 * statuses above 599, so these are handled separately.
 */
function errorResponse(
  { status, headers }: { readonly status: number; readonly headers: Headers },
  body: Buffer<ArrayBuffer>,
): Response {
  if (status === 304) return new Response(null, { status, headers });
  const plain = new Uint8Array(decodeWhole(body, headers.get('content-encoding') ?? ''));
  return new Response(plain, { status: status > 599 ? 500 : status, headers });
}

/** Names of the header that carries the id, by provider. */
const REQUEST_ID_HEADERS = ['x-request-id', 'request-id', 'apim-request-id', 'cf-ray'];

/** Returns the id if it is one: a header may hold anything, and the id goes into the log. */
function requestIdOf(headers: Headers): string | undefined {
  const name = REQUEST_ID_HEADERS.find((one) => headers.has(one));
  const id = name === undefined ? '' : (headers.get(name) ?? '');
  return /^[\w.:-]{1,128}$/.test(id) ? id : undefined;
}

function flatHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const flat = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) flat.append(name, one);
  }
  return flat;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
