/*
 * Plays recorded provider answers over real HTTP: the exact bytes, the exact cuts between them, the
 * pauses, and how the connection ends. Loads recordings from test/fixtures/providers. Does not know
 * the gateway.
 */

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setImmediate as nextRound, setTimeout as pause } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { parse } from 'yaml';

/** One step of an answer's body; the README of the fixtures explains each. */
type RecordedStep =
  | { readonly data: unknown }
  | { readonly raw: string }
  | { readonly base64: string }
  | { readonly wait: number }
  | { readonly cut: true }
  | { readonly hang: true };

export interface RecordedAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes of each write; absent: one write for each step. */
  readonly split?: number;
  /** The body is sent compressed, with its header. */
  readonly encoding?: 'gzip' | 'deflate' | 'br';
  readonly body?: readonly RecordedStep[];
}

export interface Expectation {
  readonly outcome: 'completed' | 'incomplete' | 'failed';
  /** Of an incomplete response: `max_output_tokens` or `content_filter`. */
  readonly reason?: string;
  /** Of a failed response. */
  readonly code?: string;
  readonly text?: string;
  readonly reasoning?: string;
  /** Of reasoning; chat completions do not distinguish it from reasoning. */
  readonly summary?: string;
  readonly calls?: readonly { readonly name: string; readonly arguments: string; readonly id?: string }[];
  /** Input and output tokens as the provider counted them, or `estimated`. */
  readonly usage?: readonly [number, number] | 'estimated';
  /** How many requests the provider received. */
  readonly requests?: number;
  /** What a chat completion that is not streamed is answered with when the turn failed. */
  readonly http?: { readonly status: number; readonly headers?: Readonly<Record<string, string>> };
}

export interface Recording {
  readonly title: string;
  /** Which servers were seen to do so. */
  readonly seen: string;
  /** The first request is answered with the first, all after the last with the last. */
  readonly answers: readonly RecordedAnswer[];
  /** Answers of a second provider, which is then configured as the fallback. */
  readonly fallback?: readonly RecordedAnswer[];
  /** Sections of the gateway's configuration, merged into those of the suite. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly expect: Expectation;
}

const FOLDER = resolve('test/fixtures/providers');

/** Every recording, with the name of its file. */
export function loadRecordings(): { readonly file: string; readonly recordings: readonly Recording[] }[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
  return files.sort().map((file) => {
    // The cast: the suite fails on a recording that does not fit its type.
    const recordings = parse(readFileSync(join(FOLDER, file), 'utf8'), { merge: true }) as readonly Recording[];
    return { file, recordings };
  });
}

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Where requests for the second provider arrive. */
const FALLBACK = '/fallback';

export class RecordedProvider {
  /** By the key of their turn, oldest first. */
  readonly requests = new Map<string, ReceivedRequest[]>();
  readonly #recordings = new Map<string, Recording>();
  readonly #played = new Map<string, number>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<RecordedProvider> {
    const provider = new RecordedProvider();
    provider.#server.listen(0, '127.0.0.1');
    await once(provider.#server, 'listening');
    return provider;
  }

  get baseUrl(): string {
    return `${this.#origin}/v1`;
  }

  get fallbackUrl(): string {
    return `${this.#origin}${FALLBACK}/v1`;
  }

  /** Answers turns whose last message is `key` with this recording. */
  play(key: string, recording: Recording): void {
    this.#recordings.set(key, recording);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  get #origin(): string {
    // The cast: it listens on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes: Buffer[] = [];
    for await (const chunk of request) bytes.push(chunk as Buffer);
    // The cast: the gateway sends an object.
    const body = JSON.parse(Buffer.concat(bytes).toString() || '{}') as Record<string, unknown>;
    const key = keyOf(body);
    const path = request.url ?? '';
    this.requests.set(key, [...(this.requests.get(key) ?? []), { path, headers: request.headers, body }]);
    const recording = this.#recordings.get(key);
    const second = path.startsWith(FALLBACK);
    const answers = (second ? recording?.fallback : recording?.answers) ?? [];
    const counter = `${second ? 'fallback' : 'first'} ${key}`;
    const number = this.#played.get(counter) ?? 0;
    this.#played.set(counter, number + 1);
    const answer = answers[Math.min(number, answers.length - 1)] ?? { status: 500 };
    await playAnswer(answer, response);
  }
}

/** The last user message, which names the turn. */
function keyOf(body: Record<string, unknown>): string {
  // The cast: the gateway's own request.
  const messages = (body['messages'] ?? []) as readonly { readonly role: string; readonly content: string }[];
  return messages.findLast(({ role }) => role === 'user')?.content ?? '';
}

/** Answers one request as recorded. */
async function playAnswer(answer: RecordedAnswer, response: ServerResponse): Promise<void> {
  response.on('error', () => undefined);
  const { status = 200, headers = {}, encoding } = answer;
  const type = status === 200 ? 'text/event-stream' : 'application/json';
  response.writeHead(status, {
    'content-type': type,
    ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
    ...headers,
  });
  response.flushHeaders();
  response.socket?.setNoDelay(true);
  for (const step of stepsOf(answer)) {
    if (response.destroyed) return;
    if ('hang' in step) return;
    if ('cut' in step) return void response.socket?.resetAndDestroy();
    if ('wait' in step) await pause(step.wait);
    else await write(response, step.bytes, answer.split);
  }
  response.end();
}

type PlayedStep = Extract<RecordedStep, { wait: number } | { cut: true } | { hang: true }> | { readonly bytes: Buffer };

function stepsOf({ body = [], encoding }: RecordedAnswer): PlayedStep[] {
  const steps = body.map((step): PlayedStep => {
    if ('data' in step) return { bytes: Buffer.from(`data: ${textOf(step.data)}\n\n`) };
    if ('raw' in step) return { bytes: Buffer.from(step.raw) };
    return 'base64' in step ? { bytes: Buffer.from(step.base64, 'base64') } : step;
  });
  if (encoding === undefined) return steps;
  const plain = Buffer.concat(steps.flatMap((step) => ('bytes' in step ? [step.bytes] : [])));
  const compress = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }[encoding];
  return [{ bytes: compress(plain) }];
}

function textOf(data: unknown): string {
  return typeof data === 'string' ? data : JSON.stringify(data);
}

/**
 * Each write reaches the kernel before the next, because that is where the gateway's reads are cut.
 */
async function write(response: ServerResponse, bytes: Buffer, split = bytes.length): Promise<void> {
  for (let at = 0; at < bytes.length; at += split) {
    if (response.destroyed) return;
    if (!response.write(bytes.subarray(at, at + split)))
      await Promise.race([once(response, 'drain'), once(response, 'close')]);
    await nextRound();
  }
}
