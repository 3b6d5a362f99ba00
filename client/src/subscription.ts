/*
 * One conversation: its items, then its turns, without a gap or a repetition. The gateway watches
 * before the items are loaded. Items of a turn that is followed live are skipped. Knows no socket.
 */

import {
  type ConversationEvent,
  type ConversationItem,
  type Input,
  type List,
  type Subscription,
  type SubscriptionEvents,
} from './api.js';
import { Emitter } from './emitter.js';
import { type SluiceError } from './errors.js';
import { type LiveResponse } from './response.js';

const RETRY_MS = 2_000;

/** Input of a turn, as this client sent it or as the gateway sent it. */
type TurnInput = readonly Readonly<Record<string, unknown>>[] | readonly ConversationItem[];

export interface SubscriptionOwner {
  /** Returns one page of its items, oldest first. */
  items(after: string | undefined): Promise<List<ConversationItem>>;
  follow(responseId: string): LiveResponse;
  closed(subscription: LiveSubscription): void;
}

export class LiveSubscription extends Emitter<SubscriptionEvents> implements Subscription {
  readonly #owner: SubscriptionOwner;
  readonly #emitted: ConversationEvent[] = [];
  readonly #items = new Set<string>();
  /** Responses whose items were emitted. */
  readonly #past = new Set<string>();
  readonly #turns = new Set<LiveResponse>();
  /** Turns announced while items are loaded. */
  #held: { readonly id: string; readonly input: TurnInput }[] = [];
  #last: string | undefined;
  #loading = false;
  #again = false;
  #caughtUp = false;
  #ended: { readonly error: SluiceError | null } | null = null;

  constructor(
    readonly conversation: string,
    /** Its lane on every socket. */
    readonly lane: string,
    owner: SubscriptionOwner,
  ) {
    super();
    this.#owner = owner;
  }

  get ended(): boolean {
    return this.#ended !== null;
  }

  get turns(): ReadonlySet<LiveResponse> {
    return this.#turns;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ConversationEvent, void> {
    for (let i = 0; ;) {
      const event = this.#emitted[i];
      if (event !== undefined) {
        i++;
        yield event;
      } else if (this.#ended?.error) throw this.#ended.error;
      else if (this.#ended) return;
      else await this.next;
    }
  }

  close(): void {
    this.end(null);
  }

  end(error: SluiceError | null): void {
    if (this.#ended) return;
    this.#ended = { error };
    this.#owner.closed(this);
    this.emit('end', error);
  }

  /**
   * Called when the gateway announces turns. Earlier turns are in the items or are announced too.
   */
  async subscribed(): Promise<void> {
    this.#again = true;
    if (this.#loading) return;
    this.#loading = true;
    while (this.#again && !this.#ended) {
      this.#again = false;
      try {
        await this.#load();
      } catch (thrown) {
        // Calls of the gateway throw nothing else.
        const { code, status, retryAfterMs } = thrown as SluiceError;
        if (code === 'invalid_cursor') {
          this.#last = undefined;
          this.#again = true;
        } else if (status === 404 || status === 403) this.end(thrown as SluiceError);
        // A new socket reads again at once. Without one, nothing else would.
        else setTimeout(() => void this.subscribed(), retryAfterMs ?? RETRY_MS);
      }
    }
    this.#loading = false;
    if (this.#ended || !this.#caughtUp) return;
    for (const { id, input } of this.#held.splice(0)) void this.turn(id, input);
  }

  /**
   * Called when the gateway announces a turn. After a reconnect that includes this client's own.
   */
  async turn(id: string, input: TurnInput): Promise<void> {
    if (this.#loading || !this.#caughtUp) this.#held.push({ id, input });
    else if (!this.#past.has(id) && !(await this.#isLive(id)) && !this.#ended)
      this.#start(this.#owner.follow(id), input);
  }

  /** Adds this client's own turn. Its answer comes after the stored items. */
  own(response: LiveResponse, input: Input): void {
    const content = [{ type: 'input_text', text: input }];
    const items = typeof input === 'string' ? [{ type: 'message', role: 'user', content }] : input;
    if (response.id === null || this.#caughtUp) this.#start(response, items);
    else this.#held.push({ id: response.id, input: items });
  }

  #start(response: LiveResponse, input: TurnInput): void {
    if (this.#turns.has(response)) return;
    this.#turns.add(response);
    // Every item is such a record.
    this.#send({ type: 'turn', response, input: input as readonly Readonly<Record<string, unknown>>[] });
  }

  async #load(): Promise<void> {
    for (;;) {
      const page = await this.#owner.items(this.#last);
      for (const item of page.data) await this.#take(item);
      if (this.#ended) return;
      this.#last = page.last_id ?? this.#last;
      if (!page.has_more) break;
    }
    if (!this.#caughtUp) this.#send({ type: 'caught_up' });
    this.#caughtUp = true;
  }

  async #take(item: ConversationItem): Promise<void> {
    const { response_id: id } = item.sluice;
    if (this.#items.has(item.id) || this.#ended) return;
    if (id !== null && !this.#past.has(id)) {
      if (await this.#isLive(id)) return;
      this.#past.add(id);
    }
    this.#items.add(item.id);
    this.#send({ type: 'item', item });
  }

  async #isLive(id: string): Promise<boolean> {
    // A sent turn without an id may be this one: wait for its id first.
    for (const response of this.#turns) if (response.id === null && response.sent) await response.accepted;
    return [...this.#turns].some((response) => response.id === id);
  }

  #send(event: ConversationEvent): void {
    if (this.#ended) return;
    this.#emitted.push(event);
    this.emit('event', event);
  }
}
