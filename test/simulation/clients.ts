/*
 * What clients do: create, watch, cancel, delete, add items, retry with keys; several of them, in
 * the same conversations.
 */

import { SluiceError } from '../../src/domain/errors.js';
import { type Item } from '../../src/domain/item.js';
import { ALICE, ORIGIN, requestOf, userItem } from '../unit/turn/turn-harness.js';
import { type Random } from './random.js';
import { WatchingClient } from './viewer.js';
import { Gone, type World } from './world.js';

/** What clients know when all is over. */
export interface Known {
  readonly watching: WatchingClient[];
  /** Responses that creates with one key returned. */
  readonly byKey: Map<string, Set<string>>;
  /** Ids of the input item that each key's request has. */
  readonly inputByKey: Map<string, string>;
  /** The deletion was confirmed. */
  readonly deleted: Set<string>;
  readonly addedItems: Map<string, string>;
}

/** Errors that a client answers by trying again, or by giving up; anything else is a violation. */
const EXPECTED = new Set([
  'state_unavailable',
  'conversation_busy',
  'conversation_not_found',
  'response_not_found',
  'response_expired',
  'response_still_running',
  'previous_response_not_found',
]);

export class Client {
  readonly #world: World;
  readonly #random: Random;
  readonly #known: Known;
  readonly #name: string;
  readonly #conversations: readonly string[];
  readonly #created: string[] = [];
  #count = 0;

  constructor(world: World, name: string, conversations: readonly string[], known: Known) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#name = name;
    this.#conversations = conversations;
    this.#known = known;
  }

  async act(times: number): Promise<void> {
    const random = this.#random;
    for (let i = 0; i < times; i++) {
      await this.#world.sleep(random.between(0, random.pick([5, 100, 2_000])));
      const created = this.#created[random.below(this.#created.length)];
      const dice = random.next();
      if (dice < 0.6 || created === undefined) await this.#create();
      else if (dice < 0.7) await this.#addItems();
      else if (dice < 0.8) await this.#cancel(created);
      else if (dice < 0.88) await this.#delete(created);
      else if (dice < 0.97) this.#watch(created);
      else await this.#deleteConversation();
    }
  }

  /** Creates a turn; with a key it tries again until it is answered. */
  async #create(): Promise<void> {
    const random = this.#random;
    const conversation = random.chance(0.75) ? this.#conversation() : undefined;
    const previous = conversation === undefined && random.chance(0.5) ? this.#created.at(-1) : undefined;
    const text = `${this.#name}-${++this.#count}`;
    const request = requestOf(text, {
      store: random.chance(0.85),
      background: random.chance(0.1),
      ...(conversation === undefined ? {} : { conversation }),
      ...(previous === undefined ? {} : { previousResponseId: previous }),
    });
    const key = random.chance(0.5) ? `key-${text}` : undefined;
    if (key !== undefined) this.#known.inputByKey.set(key, userItem(text).id);
    for (let tries = 0; tries < 6; tries++) {
      const replica = this.#world.anyReplica();
      const options = key === undefined ? {} : { idempotency: { key, fingerprint: text } };
      const created = await this.#try(`create ${text}`, () =>
        this.#world.request(replica, `create ${text}`, () => replica.turns.create(ALICE, request, ORIGIN, options)),
      );
      if (created !== undefined) {
        this.#created.push(created.responseId);
        if (key !== undefined) this.#keyed(key, created.responseId);
        this.#watch(created.responseId);
        if (random.chance(0.2)) this.#world.doing(this.#later(() => this.#cancel(created.responseId)));
        // Sent once more, as after a reply that its sender never saw.
        if (key === undefined || random.chance(0.7)) return;
      } else if (key === undefined) return;
      await this.#world.sleep(random.between(20, 1_500));
    }
  }

  async #addItems(): Promise<void> {
    const conversation = this.#conversation();
    const item: Item = userItem(`${this.#name}-added-${++this.#count}`);
    const replica = this.#world.anyReplica();
    const added = await this.#try('add items', () =>
      this.#world.request(replica, `add ${item.id}`, () => replica.conversations.addItems(ALICE, conversation, [item])),
    );
    // Added items get new ids, which the answer has.
    for (const { item: held } of added ?? []) this.#known.addedItems.set(held.id, conversation);
  }

  async #cancel(responseId: string): Promise<void> {
    const replica = this.#world.anyReplica();
    await this.#try('cancel', () =>
      this.#world.request(replica, `cancel ${responseId}`, () => replica.turns.cancel(ALICE, responseId)),
    );
  }

  async #delete(responseId: string): Promise<void> {
    const replica = this.#world.anyReplica();
    const removed = await this.#try('delete', () =>
      this.#world.request(replica, `delete ${responseId}`, async () => {
        await replica.reader.remove(ALICE, responseId);
        return true;
      }),
    );
    if (removed === true) this.#known.deleted.add(responseId);
  }

  async #deleteConversation(): Promise<void> {
    const replica = this.#world.anyReplica();
    const id = this.#conversation();
    await this.#try('delete conversation', () =>
      this.#world.request(replica, `delete ${id}`, () => replica.conversations.remove(ALICE, id)),
    );
  }

  #watch(responseId: string): void {
    const watching = new WatchingClient(this.#world, responseId);
    this.#known.watching.push(watching);
    this.#world.doing(watching.follow());
  }

  /** Undefined: it failed in a way that a client has to expect. */
  async #try<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Gone) return undefined;
      if (error instanceof SluiceError && EXPECTED.has(error.code)) return undefined;
      throw new Error(`unexpected answer to ${what}`, { cause: error });
    }
  }

  async #later(work: () => Promise<void>): Promise<void> {
    await this.#world.sleep(this.#random.between(0, this.#random.pick([20, 1_000])));
    await work();
  }

  #conversation(): string {
    return this.#conversations[this.#random.below(this.#conversations.length)] ?? '';
  }

  #keyed(key: string, responseId: string): void {
    const known = this.#known.byKey.get(key) ?? new Set();
    known.add(responseId);
    this.#known.byKey.set(key, known);
  }
}
