/*
 * A transport for the AI SDK's `useChat` over the client's socket: a lost network is repaired below
 * it, a reloaded page continues the running answer, and stopping cancels the turn at the gateway.
 */

import { type ChatTransport, type UIMessage, type UIMessageChunk } from 'ai';
import { type ClientOptions, createClient, type SendOptions, type Sluice, type SluiceResponse } from './client.js';
import { FollowedMessage } from './followed-message.js';
import { chunksOf, inputOf, newInputOf } from './ui-input.js';

export interface SluiceChatTransportOptions extends ClientOptions {
  /** A client shared with other parts of the page. `close` leaves it open. */
  readonly client?: Sluice;
  /**
   * Where the running answer of each chat is remembered for a reload. Default: the page's
   * `sessionStorage`; null: nowhere.
   */
  readonly storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null;
}

type SendArguments<M extends UIMessage> = Parameters<ChatTransport<M>['sendMessages']>[0];

/** What a reloaded page needs in order to continue an answer. */
interface Remembered {
  readonly id: string;
  readonly messageId: string;
  /** The earlier steps of the message. */
  readonly before: readonly UIMessageChunk[];
}

/**
 * Sends the whole chat with each request, so that editing and regenerating work. If a request names
 * a `conversation`, in `defaults` or in its `body`, it sends only what is new. The `body` of a
 * request holds further fields of the protocol, such as `tools`. `headers` and `metadata` have no
 * place on a socket and are ignored.
 */
export class SluiceChatTransport<M extends UIMessage = UIMessage> implements ChatTransport<M> {
  /** A continued answer is sent from its beginning. */
  readonly resumeStreamIsReplay = true;
  readonly #client: Sluice;
  readonly #own: boolean;
  readonly #defaults: SendOptions;
  readonly #storage: SluiceChatTransportOptions['storage'];
  readonly #followed = new Map<string, FollowedMessage>();

  constructor(options: SluiceChatTransportOptions = {}) {
    const { client, defaults = {}, storage = pageStorage() } = options;
    this.#own = client === undefined;
    this.#client = client ?? createClient(options);
    this.#defaults = defaults;
    this.#storage = storage;
  }

  /** @throws SluiceError if the request was refused */
  async sendMessages({
    chatId,
    messages,
    abortSignal,
    body,
  }: SendArguments<M>): Promise<ReadableStream<UIMessageChunk>> {
    const fields: SendOptions = { ...this.#defaults, ...body };
    const last = messages.at(-1);
    // The outputs of tools continue the message that called them.
    const continued = last?.role === 'assistant' ? last : undefined;
    const input = fields.conversation === undefined ? inputOf(messages) : newInputOf(messages);
    const response = this.#client.send(input, fields);
    const before = continued === undefined ? [] : chunksOf(continued);
    const followed = this.#follow(chatId, response, continued?.id, before);
    const stream = followed.read('last step', abortSignal);
    await followed.begun;
    const error = followed.refused;
    if (error !== null) throw error;
    return stream;
  }

  /** @returns null if no answer of this chat was interrupted, or the gateway no longer has it */
  async reconnectToStream({
    chatId,
    abortSignal,
  }: {
    readonly chatId: string;
    readonly abortSignal?: AbortSignal;
  }): Promise<ReadableStream<UIMessageChunk> | null> {
    let followed = this.#followed.get(chatId);
    if (followed === undefined) {
      const kept = this.#recall(chatId);
      if (kept === null) return null;
      followed = this.#follow(chatId, this.#client.resume({ id: kept.id }), kept.messageId, kept.before);
    }
    const stream = followed.read('whole message', abortSignal);
    await followed.begun;
    const error = followed.refused;
    if (error === null) return stream;
    if (error.kind !== 'lost') throw error;
    return null;
  }

  close(): void {
    if (this.#own) this.#client.close();
  }

  #follow(
    chatId: string,
    response: SluiceResponse,
    messageId: string | undefined,
    before: readonly UIMessageChunk[],
  ): FollowedMessage {
    const followed = new FollowedMessage(this.#client, response, { messageId, before });
    this.#followed.set(chatId, followed);
    void followed.begun.then(() => {
      if (followed.refused === null && response.id !== null && this.#followed.get(chatId) === followed) {
        this.#remember(chatId, { id: response.id, messageId: messageId ?? response.id, before });
      }
    });
    response.on('end', ({ error }) => {
      if (this.#followed.get(chatId) !== followed) return;
      this.#followed.delete(chatId);
      // Closed by this page: the answer continues at the gateway.
      if (error?.kind !== 'closed') this.#forget(chatId);
    });
    return followed;
  }

  #remember(chatId: string, kept: Remembered): void {
    try {
      this.#storage?.setItem(keyOf(chatId), JSON.stringify(kept));
    } catch {
      // A full or forbidden storage costs the resume after a reload, not the answer.
    }
  }

  #recall(chatId: string): Remembered | null {
    try {
      // Written by `#remember`.
      return JSON.parse(this.#storage?.getItem(keyOf(chatId)) ?? 'null') as Remembered | null;
    } catch {
      return null;
    }
  }

  #forget(chatId: string): void {
    try {
      this.#storage?.removeItem(keyOf(chatId));
    } catch {
      // As in `#remember`.
    }
  }
}

const keyOf = (chatId: string): string => `sluice:chat:${chatId}`;

/** Absent outside of browsers; its getter throws where the page may not store anything. */
function pageStorage(): SluiceChatTransportOptions['storage'] {
  try {
    return (globalThis as { readonly sessionStorage?: Storage }).sessionStorage ?? null;
  } catch {
    return null;
  }
}
