/*
 * Any server of OpenAI's chat completions. The openai package makes address, headers and errors:
 * address and headers once, because they are the same in every request. Requests are sent and
 * answers are read by lean code, because every delta passes here. Has no timeouts and no retries of
 * its own; wrappers add them.
 */

import OpenAI, { APIError } from 'openai';
import { Agent } from 'undici';
import { SluiceError } from '../../domain/errors.js';
import { mediaOf } from '../../domain/item.js';
import { type InputKind, kindOf } from '../../domain/media.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../provider.js';
import { chatRequest, dialectOf, type RequestShape, usualShape } from './chat-request.js';
import { ChatStream } from './chat-stream.js';
import { fromThrown, isToolUseFailure, unreadable } from './chat-errors.js';
import { canDecode } from '../wire/content-coding.js';
import { LeanBody, post, type RefusedAnswer } from '../wire/lean-request.js';
import { type ScheduleRead, pacedConnector, type TlsCertificates } from '../wire/paced-socket.js';

export interface OpenAiProviderOptions {
  /** The name in `start` parts, metrics and `response.sluice.provider`. Default `openai`. */
  readonly name?: string;
  /** Up to and including `/v1`. Absent: OpenAI's own. */
  readonly baseUrl?: string;
  /** Absent: no Authorization header, for servers without one. */
  readonly apiKey?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  /** The request shape for a model. Absent: by the host of `baseUrl`; see chat-request.ts. */
  readonly shapeOf?: (model: string) => RequestShape;
  /** Time limit for establishing a connection. Default 10 s. */
  readonly connectTimeoutMs?: number;
  /** Certificates for TLS. Absent: the authorities of Node. */
  readonly tls?: TlsCertificates;
  /**
   * Most connections at a time. Every running stream holds one; further streams wait. Absent: no
   * bound.
   */
  readonly maxConnections?: number;
  /**
   * When a stream is read after its first text. Data that arrives before is read together. Absent:
   * as it arrives.
   */
  readonly scheduleRead?: ScheduleRead;
}

const TEXT_ONLY: ReadonlySet<InputKind> = new Set(['text']);

/** What every request of a provider has in common. */
interface RequestHead {
  readonly url: URL;
  /** Names and values, in turn. */
  readonly headers: string[];
}

export class OpenAiProvider extends Provider {
  readonly #name: string;
  readonly #shapeOf: (model: string) => RequestShape;
  readonly #agent: Agent;
  readonly #client: OpenAI;
  #head: RequestHead | undefined;

  constructor(options: OpenAiProviderOptions = {}) {
    super();
    this.#name = options.name ?? 'openai';
    const dialect = dialectOf(options.baseUrl);
    this.#shapeOf = options.shapeOf ?? (() => usualShape(dialect));
    this.#agent = new Agent({
      connections: options.maxConnections ?? null,
      connect: pacedConnector(options.scheduleRead ?? (() => false), options.connectTimeoutMs ?? 10_000, options.tls),
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 30_000,
    });
    this.#client = new OpenAI({
      apiKey: options.apiKey ?? 'none',
      defaultHeaders: {
        // Compressed text would arrive in blocks.
        'Accept-Encoding': 'identity',
        ...(options.apiKey === undefined ? { Authorization: null } : {}),
        ...options.headers,
      },
      ...(options.query === undefined ? {} : { defaultQuery: { ...options.query } }),
      ...(options.baseUrl === undefined ? { baseURL: 'https://api.openai.com/v1' } : { baseURL: options.baseUrl }),
      // The package would read OPENAI_ORG_ID and OPENAI_PROJECT_ID, which other servers must not
      // see.
      ...(dialect === 'openai' ? {} : { organization: null, project: null }),
      // OPENAI_LOG=debug would print prompts and answers.
      logLevel: 'off',
    });
  }

  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return {
      [Symbol.asyncIterator]: () => new ChatStream(this.#name, request, signal, () => this.#open(request, signal)),
    };
  }

  /** Closes all connections and cuts running streams. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #open(request: ProviderRequest, signal: AbortSignal): Promise<LeanBody> {
    signal.throwIfAborted();
    const body = await this.#request(request, signal);
    const readable = canDecode(body.encoding);
    if (signal.aborted || !readable) {
      body.destroy(new Error('this answer is not wanted'));
      signal.throwIfAborted();
      throw unreadable('an unknown content encoding');
    }
    return body;
  }

  async #request(request: ProviderRequest, signal: AbortSignal): Promise<LeanBody> {
    const shape = this.#shapeOf(request.model);
    const showsMedia = request.items.some((item) => mediaOf(item).some((part) => shape.input.has(kindOf(part))));
    try {
      return await this.#send(request, shape, signal, showsMedia);
    } catch (thrown) {
      // The image or file is of an earlier turn: its URL may have expired, or the model changed.
      // Answer without it, because the conversation could not continue otherwise.
      const old = showsMedia && request.needs === undefined;
      if (!old || !(thrown instanceof SluiceError) || thrown.code !== 'unsupported_content') throw thrown;
      return this.#send(request, { ...shape, input: TEXT_ONLY }, signal, false);
    }
  }

  async #send(
    request: ProviderRequest,
    shape: RequestShape,
    signal: AbortSignal,
    showsMedia: boolean,
  ): Promise<LeanBody> {
    const send = async (): Promise<LeanBody> => {
      const { url, headers } = (this.#head ??= await this.#makeHead());
      const answer = await post(this.#agent, {
        url,
        headers: request.traceparent === undefined ? headers : [...headers, 'traceparent', request.traceparent],
        body: JSON.stringify(chatRequest(request, shape)),
        signal,
      });
      if (answer instanceof LeanBody) return answer;
      throw apiError(answer);
    };
    try {
      // A model that wrote an unreadable call usually writes a valid one next. Retry once, not
      // several times.
      return await send().catch((thrown: unknown) => {
        if (signal.aborted || !isToolUseFailure(thrown)) throw thrown;
        return send();
      });
    } catch (thrown) {
      signal.throwIfAborted();
      throw fromThrown(thrown, showsMedia);
    }
  }

  async #makeHead(): Promise<RequestHead> {
    const { url, req } = await this.#client.buildRequest({ method: 'post', path: '/chat/completions', body: {} });
    return { url: new URL(url), headers: [...new Headers(req.headers)].flat() };
  }
}

/** Returns the package's error for an answer, as the package makes it. */
function apiError({ status, headers, text }: RefusedAnswer): APIError {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // The message is the text then.
  }
  // The package looks for the field `error`. Some servers send the fields of the error without it.
  const hasError = typeof body !== 'object' || ((body as { readonly error?: unknown } | null)?.error ?? null) !== null;
  const fields = hasError ? body : { error: body };
  return APIError.generate(status, fields as object | undefined, body ? undefined : text, headers);
}
