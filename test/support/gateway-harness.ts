/*
 * Sets up the conformance tests: the real gateway before a scripted OpenAI-compatible provider, raw
 * sockets and plain HTTP.
 */

import { type ResponseObject } from '../../src/domain/response.js';
import { type FakeAnswer, FakeOpenAiServer, type FakeRequest, type FakeStep } from './fake-openai-server.js';
import { DONE, FAKE_USAGE, finishChunk, textAnswer, textChunk, usageChunk } from './fake-openai-server.js';
import { type GatewayOptions, startGateway, type TestGateway } from './gateway.js';
import { type Frame, RawClient, type RawClientOptions } from './raw-client.js';

/** What the scripted provider says that a turn has used. */
export const FAKE_TURN_TOKENS = { input: FAKE_USAGE.prompt_tokens, output: FAKE_USAGE.completion_tokens } as const;

export const UPSTREAM_KEY = 'sk-upstream-5f2c9a7be41d';

export interface ApiOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly key?: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON; tests compare it, so its type is theirs to say. */
  readonly body: Record<string, unknown>;
}

export interface SseMessage {
  readonly event: string | undefined;
  readonly id: string | undefined;
  readonly data: Record<string, unknown>;
}

export class GatewayHarness {
  readonly #clients: RawClient[] = [];
  /** Answers that stream. `fetch` closes the connection of one that is garbage collected. */
  readonly #streams: Response[] = [];

  private constructor(
    readonly gateway: TestGateway,
    readonly provider: FakeOpenAiServer,
  ) {}

  /**
   * `config` goes over a provider that is tried once, at the scripted server, and never given up.
   */
  static async start(options: GatewayOptions = {}): Promise<GatewayHarness> {
    const provider = await FakeOpenAiServer.start();
    const { config = {}, env = {} } = options;
    const gateway = await startGateway({
      config: {
        provider: { type: 'openai', model: 'fake-model' },
        middleware: ONE_TRY,
        ...config,
      },
      env: { OPENAI_API_KEY: UPSTREAM_KEY, OPENAI_BASE_URL: provider.baseUrl, ...env },
    });
    return new GatewayHarness(gateway, provider);
  }

  /** An open socket, its hello taken if it opted in to one. */
  async connect(options: RawClientOptions = {}): Promise<RawClient> {
    const client = await RawClient.open(this.gateway.socketUrl, options);
    this.#clients.push(client);
    const { query = '', protocols = [] } = options;
    if (query.includes('snapshots=1') || query.includes('resume=') || protocols.includes('sluice.v1')) {
      await client.until('sluice:hello');
    }
    return client;
  }

  async api(path: string, { method = 'GET', body, headers = {}, key }: ApiOptions = {}): Promise<ApiAnswer> {
    const response = await this.fetch(path, { method, body, headers, ...(key === undefined ? {} : { key }) });
    const text = await response.text();
    // Every answer of the API is a JSON object.
    const parsed = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    return { status: response.status, headers: response.headers, body: parsed };
  }

  /** A stream stays open until its signal aborts or `hangUp`, also if the test drops its answer. */
  async fetch(
    path: string,
    { method = 'GET', body, headers = {}, key }: ApiOptions = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const answer = await fetch(`${this.gateway.url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (answer.headers.get('content-type')?.startsWith('text/event-stream') === true) this.#streams.push(answer);
    return answer;
  }

  /** A conversation's id. */
  async conversation(key?: string): Promise<string> {
    const { body } = await this.api('/v1/conversations', { method: 'POST', body: {}, ...keyOf(key) });
    return String(body['id']);
  }

  async post(body: object, key?: string): Promise<ApiAnswer> {
    return this.api('/v1/responses', { method: 'POST', body, ...keyOf(key) });
  }

  /** The provider answers the next calls with these texts, whole. */
  says(...texts: readonly string[]): void {
    this.provider.answerWith(textAnswer(texts));
  }

  /** Closes the sockets opened here, and no longer keeps the streams open. */
  async hangUp(): Promise<void> {
    this.#streams.length = 0;
    for (const client of this.#clients.splice(0)) client.socket.terminate();
  }

  async close(): Promise<void> {
    await this.hangUp();
    await this.provider.close();
    await this.gateway.close();
  }
}

export const ONE_TRY = { provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } } } as const;

const keyOf = (key: string | undefined): { key?: string } => (key === undefined ? {} : { key });

/** An answer in two halves: the rest comes when `finish` is called. */
export function heldAnswer(first: string, rest = ''): { readonly answer: FakeAnswer; finish: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const steps: FakeStep[] = [
    ...(first === '' ? [] : [textChunk(first)]),
    { until: promise },
    ...(rest === '' ? [] : [textChunk(rest)]),
    finishChunk(),
    usageChunk(),
    DONE,
  ];
  return { answer: { steps }, finish: () => resolve() };
}

/** What the provider was sent, as texts with their roles. */
export function promptOf(request: FakeRequest): string[] {
  return request.body.messages.map((message) => `${String(message['role'])}: ${String(message['content'])}`);
}

/** The response that an event carries. */
export function responseIn(frame: Frame | undefined): ResponseObject {
  if (frame === undefined || !('response' in frame)) throw new Error(`no response in ${frame?.type ?? 'nothing'}`);
  // The gateway's own shape; what tests look at fails where it is not.
  return frame['response'] as ResponseObject;
}

export const terminalOf = (frames: readonly Frame[]): ResponseObject => responseIn(frames.at(-1));

export const typesOf = (frames: readonly Frame[]): string[] => frames.map(({ type }) => type);

export function deltasOf(frames: readonly Frame[]): string {
  return frames
    .filter(({ type }) => type === 'response.output_text.delta')
    .map((frame) => String(frame['delta']))
    .join('');
}

export const numbersOf = (frames: readonly Frame[]): number[] =>
  frames.filter((frame) => 'sequence_number' in frame).map((frame) => Number(frame['sequence_number']));

export const errorIn = (frame: Frame | undefined): Record<string, unknown> =>
  // An error event carries this object; a test that gets another frame fails at what it looks for.
  (frame?.['error'] ?? {}) as Record<string, unknown>;

/** 0, 1, … n − 1. */
export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A stream's messages, as an EventSource would see them, comments left out. */
export function sseMessages(text: string): SseMessage[] {
  return text
    .split('\n\n')
    .filter((block) => block.includes('data:') && block !== 'data: [DONE]')
    .map((block) => {
      const field = (name: string): string | undefined =>
        block
          .split('\n')
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2);
      // data is always an event's or an error's JSON object.
      const data = JSON.parse(field('data') ?? '{}') as Record<string, unknown>;
      return { event: field('event'), id: field('id'), data };
    });
}

export const framesOf = (messages: readonly SseMessage[]): Frame[] =>
  // A stream's data are the events that a socket gets as frames.
  messages.map(({ data }) => data as Frame);
