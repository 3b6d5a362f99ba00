/*
 * A provider for tests: a real HTTP server on a free port that answers chat completions by a
 * script, and records its requests and when its sockets closed. Knows nothing of Sluice.
 */

import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';

/** One step of a streamed answer. */
export type FakeStep =
  /** Sent as `data: <JSON>` and an empty line. */
  | { readonly chunk: object }
  /** Sent as it is, in a write of its own: half lines, comments, half characters. */
  | { readonly raw: string | Uint8Array }
  | { readonly waitMs: number }
  /** Continues when the promise resolves. */
  | { readonly until: Promise<unknown> }
  /** Resets the connection. */
  | { readonly cut: true }
  /** Sends nothing more and leaves the connection open. */
  | { readonly hang: true };

export type FakeAnswer =
  | { readonly steps: Iterable<FakeStep>; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: object | string };

/** The parsed body of a chat completions request, as far as tests look at it. */
interface FakeRequestBody {
  readonly model: string;
  readonly messages: readonly Readonly<Record<string, unknown>>[];
  readonly [field: string]: unknown;
}

export interface FakeRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: FakeRequestBody;
  /** The client's port: the same for two requests on one connection. */
  readonly port: number | undefined;
  /**
   * Resolves when the answer is over: `complete` false where the client went away, or the script
   * cut, before its end.
   */
  readonly closed: Promise<{ readonly complete: boolean; readonly atMs: number }>;
}

type Responder = (request: FakeRequest, index: number) => FakeAnswer;

export class FakeOpenAiServer {
  readonly requests: FakeRequest[] = [];
  readonly #server: Server;
  #answer: Responder;
  #waiting: { readonly index: number; readonly resolve: (request: FakeRequest) => void }[] = [];

  private constructor(answer: Responder) {
    this.#answer = answer;
    this.#server = createServer((incoming, response) => {
      const bytes: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => bytes.push(chunk));
      incoming.on('end', () => {
        const closed = new Promise<{ complete: boolean; atMs: number }>((resolve) => {
          response.once('close', () => resolve({ complete: response.writableFinished, atMs: performance.now() }));
        });
        // The cast: a test's own client wrote it.
        const body = JSON.parse(Buffer.concat(bytes).toString() || '{}') as FakeRequestBody;
        const request = {
          path: incoming.url ?? '',
          headers: incoming.headers,
          body,
          port: incoming.socket.remotePort,
          closed,
        };
        const index = this.requests.push(request) - 1;
        for (const waiting of this.#waiting) if (waiting.index === index) waiting.resolve(request);
        void play(brokenRule(body) ?? this.#answer(request, index), response);
      });
    });
  }

  /**
   * Starts it on a free port of 127.0.0.1. `answer`: one for all requests, or one for each by its
   * number from 0.
   */
  static async start(answer: FakeAnswer | Responder = textAnswer(['Hello', ' world'])): Promise<FakeOpenAiServer> {
    const fake = new FakeOpenAiServer(typeof answer === 'function' ? answer : () => answer);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  /** For `OPENAI_BASE_URL` and `provider.base_url`. */
  get baseUrl(): string {
    // The cast: it listens on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** How requests are answered from now on. */
  answerWith(answer: FakeAnswer | Responder): void {
    this.#answer = typeof answer === 'function' ? answer : () => answer;
  }

  /** The request of that number from 0, now or when it comes. */
  request(index: number): Promise<FakeRequest> {
    const come = this.requests[index];
    if (come !== undefined) return Promise.resolve(come);
    return new Promise((resolve) => this.#waiting.push({ index, resolve }));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/**
 * OpenAI's own rule: an assistant message with tool_calls is followed at once by a tool message for
 * each, and no other follows any.
 */
function brokenRule({ messages = [] }: Partial<FakeRequestBody>): FakeAnswer | undefined {
  let open: string[] = [];
  let kept = true;
  for (const { role, tool_calls: calls, tool_call_id: id } of messages) {
    if (role === 'tool') {
      kept &&= open.includes(String(id));
      open = open.filter((one) => one !== id);
      continue;
    }
    kept &&= open.length === 0;
    // Only this shape of calls is ever sent.
    open = ((calls ?? []) as readonly { readonly id: string }[]).map((call) => call.id);
  }
  if (kept && open.length === 0) return undefined;
  const message = "An assistant message with 'tool_calls' must be followed by tool messages";
  return { status: 400, body: { error: { message, type: 'invalid_request_error', param: 'messages', code: null } } };
}

async function play(answer: FakeAnswer, response: ServerResponse): Promise<void> {
  if ('status' in answer) {
    const body =
      typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body ?? { error: { message: 'scripted' } });
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(body);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', ...answer.headers });
  response.flushHeaders();
  response.socket?.setNoDelay(true);
  for (const step of answer.steps) {
    if (response.destroyed) return;
    if ('hang' in step) return;
    if ('cut' in step) return void response.socket?.resetAndDestroy();
    if ('waitMs' in step) await new Promise((resolve) => setTimeout(resolve, step.waitMs));
    else if ('until' in step) await step.until;
    else await write(response, 'raw' in step ? step.raw : `data: ${JSON.stringify(step.chunk)}\n\n`);
  }
  response.end();
}

/**
 * One write at a time, each handed to the kernel before the next: that is where the client's reads
 * are cut.
 */
async function write(response: ServerResponse, bytes: string | Uint8Array): Promise<void> {
  if (!response.write(bytes)) {
    const waiting = new AbortController();
    const { signal } = waiting;
    const drained = [once(response, 'drain', { signal }), once(response, 'close', { signal })];
    await Promise.race(drained);
    // Removes the listener of the event that did not come.
    waiting.abort();
    await Promise.allSettled(drained);
  }
  await new Promise((resolve) => setImmediate(resolve));
}

/** A chunk with this delta, shaped as OpenAI's. */
export function deltaChunk(delta: object, finishReason: string | null = null): { chunk: object } {
  return {
    chunk: {
      id: 'chatcmpl-fake',
      object: 'chat.completion.chunk',
      created: 1_700_000_000,
      model: 'fake-model',
      system_fingerprint: 'fp_fake',
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
      usage: null,
    },
  };
}

export function textChunk(text: string): { chunk: object } {
  return deltaChunk({ content: text });
}

export function finishChunk(reason = 'stop'): { chunk: object } {
  return deltaChunk({}, reason);
}

export const FAKE_USAGE = {
  prompt_tokens: 12,
  completion_tokens: 34,
  total_tokens: 46,
  prompt_tokens_details: { cached_tokens: 5 },
  completion_tokens_details: { reasoning_tokens: 7 },
} as const;

export function usageChunk(usage: object = FAKE_USAGE): { chunk: object } {
  return { chunk: { id: 'chatcmpl-fake', object: 'chat.completion.chunk', model: 'fake-model', choices: [], usage } };
}

export const DONE: FakeStep = { raw: 'data: [DONE]\n\n' };

/** A whole answer that calls functions, after the text that it says first. */
export function callsAnswer(calls: readonly { readonly id: string; readonly name: string }[], text = ''): FakeAnswer {
  const chunks = calls.map(({ id, name }, index) =>
    deltaChunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '{}' } }] }),
  );
  return {
    steps: [...(text === '' ? [] : [textChunk(text)]), ...chunks, finishChunk('tool_calls'), usageChunk(), DONE],
  };
}

/** A whole answer as OpenAI streams it: role, text, finish, usage, end marker. */
export function textAnswer(texts: Iterable<string>, options: { readonly intervalMs?: number } = {}): FakeAnswer {
  const { intervalMs } = options;
  function* steps(): Generator<FakeStep> {
    yield deltaChunk({ role: 'assistant', content: '', refusal: null });
    for (const text of texts) {
      if (intervalMs !== undefined) yield { waitMs: intervalMs };
      yield textChunk(text);
    }
    yield finishChunk();
    yield usageChunk();
    yield DONE;
  }
  return { steps: { [Symbol.iterator]: steps } };
}
