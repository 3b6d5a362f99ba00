/*
 * The load generator's clients, one for each way to talk to a system. A client reports its text as
 * it arrives, and when a response has ended.
 */

import { Agent, request as httpRequest } from 'node:http';
import { WebSocket } from 'ws';
import { type Target } from './ipc.js';

interface ResponseEvents {
  readonly onId?: (id: string) => void;
  readonly onText: (delta: string) => void;
  /** `why`: what a failed response said, where it said anything. */
  readonly onEnd: (ok: boolean, why?: string) => void;
}

export interface Client {
  /** Requests a response of this many deltas. One at a time. */
  create(deltas: number, events: ResponseEvents): void;
  /** Follows a response that another client created, from its start. */
  watch(responseId: string, events: ResponseEvents): void;
  close(): void;
}

/** @param inConversation whether the client creates a conversation, in which its responses run */
export async function openClient({ dialect, url, headers }: Target, inConversation = false): Promise<Client> {
  switch (dialect) {
    case 'responses-ws':
      return openSocket(url, inConversation ? await createConversation(url) : undefined);
    case 'ui-sse':
      return new UiClient(url);
    case 'chat-sse':
      return new ChatClient(url, headers);
  }
}

/** The fields of an event that are read here; others are ignored. */
interface Event {
  readonly type: string;
  readonly delta?: string;
  readonly response?: { readonly id: string };
}

async function createConversation(socketUrl: string): Promise<string> {
  const url = new URL('/v1/conversations', socketUrl.replace('ws:', 'http:'));
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  // The gateway's own answer.
  return ((await answer.json()) as { readonly id: string }).id;
}

function openSocket(url: string, conversation: string | undefined): Promise<Client> {
  const socket = new WebSocket(url, { perMessageDeflate: false, skipUTF8Validation: true });
  let events: ResponseEvents | undefined;
  const end = (ok: boolean, why?: string): void => {
    const ended = events;
    events = undefined;
    ended?.onEnd(ok, why);
  };
  socket.on('message', (data: Buffer) => {
    const event = JSON.parse(data.toString()) as Event;
    switch (event.type) {
      case 'response.output_text.delta':
        events?.onText(event.delta ?? '');
        return;
      case 'response.created':
        events?.onId?.(event.response?.id ?? '');
        return;
      case 'response.completed':
        end(true);
        return;
      case 'response.failed':
      case 'response.incomplete':
      case 'error':
        end(false, data.toString().slice(0, 500));
    }
  });
  socket.on('close', () => end(false));
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () =>
      resolve({
        create: (deltas, given) => {
          events = given;
          socket.send(
            JSON.stringify({ type: 'response.create', input: 'hello', max_output_tokens: deltas, conversation }),
          );
        },
        watch: (responseId, given) => {
          events = given;
          socket.send(JSON.stringify({ type: 'sluice:resume', response_id: responseId }));
        },
        close: () => {
          events = undefined;
          socket.terminate();
        },
      }),
    );
  });
}

/** Server-sent events over one request a response. */
abstract class SseClient implements Client {
  readonly url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #closed = false;

  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.url = url;
    this.#headers = { 'content-type': 'application/json', ...headers };
  }

  abstract create(deltas: number, events: ResponseEvents): void;
  abstract watch(responseId: string, events: ResponseEvents): void;
  /** The data of one event; true: it was the last. */
  abstract take(data: string, events: ResponseEvents): boolean;

  close(): void {
    this.#closed = true;
    this.#agent.destroy();
  }

  protected fetch(method: 'GET' | 'POST', url: string, body: unknown, events: ResponseEvents): void {
    let ended = false;
    const end = (ok: boolean): void => {
      if (ended || this.#closed) return;
      ended = true;
      events.onEnd(ok);
    };
    const request = httpRequest(url, { method, agent: this.#agent, headers: this.#headers });
    request.on('error', () => end(false));
    request.on('response', (response) => {
      let rest = '';
      let done = false;
      response.setEncoding('utf8').on('data', (text: string) => {
        if (this.#closed) return;
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.startsWith('data: ')) done = this.take(line.slice(6), events) || done;
      });
      response.on('end', () => end(done));
      response.on('error', () => end(false));
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  }
}

/** Chat completions: the provider itself, and every gateway. */
class ChatClient extends SseClient {
  override create(deltas: number, events: ResponseEvents): void {
    const messages = [{ role: 'user', content: 'hello' }];
    const body = { model: 'gpt-4o-mini', messages, max_tokens: deltas, stream: true };
    this.fetch('POST', `${this.url}/chat/completions`, body, events);
  }
  override watch(): void {
    throw new Error('unable to watch; chat completions have no such thing');
  }
  override take(data: string, events: ResponseEvents): boolean {
    if (data === '[DONE]') return true;
    const chunk = JSON.parse(data) as {
      readonly choices: readonly { readonly delta: { readonly content?: string | null } }[];
    };
    const text = chunk.choices[0]?.delta.content ?? '';
    if (text !== '') events.onText(text);
    return false;
  }
}

let lastChat = 0;

/** The AI SDK's UI message stream. */
class UiClient extends SseClient {
  override create(deltas: number, events: ResponseEvents): void {
    const id = `chat-${process.pid}-${++lastChat}`;
    events.onId?.(id);
    this.fetch('POST', `${this.url}/chat`, { id, maxOutputTokens: deltas }, events);
  }
  override watch(responseId: string, events: ResponseEvents): void {
    this.fetch('GET', `${this.url}/chat/${responseId}/stream`, undefined, events);
  }
  override take(data: string, events: ResponseEvents): boolean {
    if (data === '[DONE]') return true;
    const part = JSON.parse(data) as Event;
    if (part.type === 'text-delta') events.onText(part.delta ?? '');
    return false;
  }
}
