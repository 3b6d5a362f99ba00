/*
 * A conversation as a list of messages to render: an immutable snapshot for every change. Knows no
 * framework.
 */

import { type ChatMessage, type ChatState } from './chat-api.js';
import {
  type ConversationEvent,
  type SendOptions,
  type Sluice,
  SluiceError,
  type SluiceErrorShape,
  type SluiceResponse,
  type Subscription,
} from './client.js';

interface ItemContent {
  readonly role?: unknown;
  readonly content?: unknown;
}

export class Chat {
  readonly #client: Sluice;
  readonly #changed = new Set<() => void>();
  readonly #live = new Set<SluiceResponse>();
  #state: ChatState;
  #subscription: Subscription | null = null;
  #making: Promise<string> | null = null;
  #keys = 0;

  constructor(client: Sluice, conversation: string | null) {
    this.#client = client;
    this.#state = { messages: [], busy: false, caughtUp: conversation === null, conversation, error: null };
  }

  readonly snapshot = (): ChatState => this.#state;

  /** Follows the conversation while a component listens. */
  readonly subscribe = (changed: () => void): (() => void) => {
    this.#changed.add(changed);
    this.#follow();
    return () => {
      this.#changed.delete(changed);
      if (this.#changed.size > 0) return;
      this.#subscription?.close();
      this.#subscription = null;
    };
  };

  readonly send = (text: string, options: SendOptions = {}): void => {
    const { conversation } = this.#state;
    if (conversation !== null) {
      this.#follow();
      this.#client.send(text, { ...options, conversation });
      return;
    }
    const key = this.#add({ role: 'user', text, status: 'waiting' });
    this.#set({ busy: true });
    this.#making ??= this.#client
      .connect()
      .then(() => this.#client.conversations.create())
      .then(({ id }) => {
        // The component may be gone, and its client closed: a question would open it again.
        if (this.#client.state === 'closed') throw new SluiceError('closed', 'closed', 'The client was closed.');
        return id;
      });
    this.#making.then(
      (id) => {
        this.#set({ conversation: id, messages: this.#state.messages.filter((message) => message.key !== key) });
        this.send(text, options);
      },
      (error: unknown) => {
        this.#making = null;
        // The client rejects with nothing else.
        this.#change(key, { status: 'refused', error: error as SluiceErrorShape });
        this.#set({ busy: this.#live.size > 0 });
      },
    );
  };

  readonly cancel = (): void => {
    for (const response of this.#live) response.cancel();
  };

  #follow(): void {
    const { conversation } = this.#state;
    // Without a listener nothing would close the subscription.
    if (conversation === null || this.#subscription !== null || this.#changed.size === 0) return;
    // The gateway sends the stored items again.
    this.#live.clear();
    this.#set({ messages: [], busy: false, error: null });
    const subscription = this.#client.subscribe(conversation);
    this.#subscription = subscription;
    subscription.on('event', (event) => {
      if (this.#subscription === subscription) this.#onEvent(event);
    });
    subscription.on('end', (error) => {
      if (this.#subscription !== subscription) return;
      this.#subscription = null;
      this.#set({ error });
    });
  }

  #onEvent(event: ConversationEvent): void {
    if (event.type === 'caught_up') this.#set({ caughtUp: true });
    else if (event.type === 'turn') this.#turn(event.response, event.input);
    else if (event.item.type === 'message') {
      this.#add({
        role: event.item.role ?? '',
        text: contentText(event.item, 'text'),
        refusal: contentText(event.item, 'refusal'),
      });
    }
  }

  #turn(response: SluiceResponse, input: readonly ItemContent[]): void {
    for (const item of input) {
      if (item.role !== undefined) this.#add({ role: String(item.role), text: contentText(item, 'text') });
    }
    const key = this.#add({ role: 'assistant', status: response.status, response });
    const show = (): void => {
      const { text, refusal, status } = response;
      this.#change(key, { text, refusal, status });
    };
    this.#live.add(response);
    this.#set({ busy: true });
    for (const name of ['delta', 'replace', 'refusal', 'status'] as const) response.on(name, show);
    response.on('end', ({ error }) => {
      this.#live.delete(response);
      this.#change(key, { status: response.status, error });
      this.#set({ busy: this.#live.size > 0 });
    });
  }

  #add(message: Partial<ChatMessage>): string {
    const key = `m${this.#keys++}`;
    const rest = { text: '', refusal: '', status: 'completed', error: null, response: null } as const;
    this.#set({ messages: [...this.#state.messages, { key, role: 'user', ...rest, ...message }] });
    return key;
  }

  #change(key: string, change: Partial<ChatMessage>): void {
    this.#set({
      messages: this.#state.messages.map((message) => (message.key === key ? { ...message, ...change } : message)),
    });
  }

  #set(change: Partial<ChatState>): void {
    this.#state = { ...this.#state, ...change };
    for (const changed of this.#changed) changed();
  }
}

/** Returns the text or the refusal of an item or of input: a string, or parts. */
function contentText({ content }: ItemContent, field: 'text' | 'refusal'): string {
  if (typeof content === 'string') return field === 'text' ? content : '';
  // Parts as the gateway or this page wrote them.
  return ((content ?? []) as readonly Partial<Record<typeof field, string>>[])
    .map((part) => part[field] ?? '')
    .join('');
}
