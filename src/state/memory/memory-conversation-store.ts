/* Conversations, their items and ended responses in memory, with the same bounds and sliding time to live as in Redis. */

import { type Conversation } from '../../domain/conversation.js';
import { type StoredItem } from '../../domain/item.js';
import { type StoredResponse } from '../../domain/response.js';
import { systemTime, type Time } from '../../domain/time.js';
import { LOG_TIMES } from '../event-log.js';
import {
  COMMITS_KEPT,
  ConversationStore,
  type ItemQuery,
  type Page,
  pageOf,
  ResponseStore,
} from '../conversation-store.js';

export interface MemoryStoreOptions {
  readonly ttlMs: number;
  /** Most items kept of one conversation. */
  readonly maxItems: number;
  readonly time?: Time;
}

/** A map whose entries leave `ttlMs` after they were last used. */
class SlidingMap<V> {
  readonly #entries = new Map<string, { value: V; expiresAt: number }>();
  readonly #ttlMs: number;
  readonly #time: Time;

  constructor(ttlMs: number, time: Time) {
    this.#ttlMs = ttlMs;
    this.#time = time;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAt <= this.#time.now()) {
      this.#entries.delete(key);
      return undefined;
    }
    entry.expiresAt = this.#time.now() + this.#ttlMs;
    return entry.value;
  }

  set(key: string, value: V): void {
    this.#entries.set(key, { value, expiresAt: this.#time.now() + this.#ttlMs });
  }

  delete(key: string): boolean {
    const there = this.get(key) !== undefined;
    this.#entries.delete(key);
    return there;
  }

  /** Live values, without sliding them. */
  *values(): Generator<V> {
    const now = this.#time.now();
    for (const entry of this.#entries.values()) if (entry.expiresAt > now) yield entry.value;
  }

  sweep(): void {
    const now = this.#time.now();
    for (const [key, entry] of this.#entries) if (entry.expiresAt <= now) this.#entries.delete(key);
  }
}

interface Dialogue {
  conversation: Conversation;
  items: StoredItem[];
  /** Oldest first. */
  readonly commits: string[];
}

export class MemoryConversationStore extends ConversationStore {
  readonly #dialogues: SlidingMap<Dialogue>;
  readonly #maxItems: number;
  readonly #time: Time;

  constructor(options: MemoryStoreOptions) {
    super();
    this.#time = options.time ?? systemTime;
    this.#dialogues = new SlidingMap(options.ttlMs, this.#time);
    this.#maxItems = options.maxItems;
  }

  override async create(conversation: Conversation, items: readonly StoredItem[]): Promise<void> {
    this.#dialogues.set(conversation.id, { conversation, items: items.slice(-this.#maxItems), commits: [] });
  }

  override async get(id: string): Promise<Conversation | undefined> {
    return this.#dialogues.get(id)?.conversation;
  }

  override async updateMetadata(
    id: string,
    metadata: Readonly<Record<string, string>>,
  ): Promise<Conversation | undefined> {
    const dialogue = this.#dialogues.get(id);
    if (dialogue === undefined) return undefined;
    dialogue.conversation = { ...dialogue.conversation, metadata };
    this.#touch(dialogue);
    return dialogue.conversation;
  }

  override async delete(id: string): Promise<boolean> {
    return this.#dialogues.delete(id);
  }

  override async listByOwner(
    owner: string,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>> {
    const own = [...this.#dialogues.values()].map((dialogue) => dialogue.conversation).filter((c) => c.owner === owner);
    own.sort((a, b) => b.updatedAt - a.updatedAt || (a.id < b.id ? 1 : -1));
    return pageOf(own, (conversation) => conversation.id, query);
  }

  override async appendItems(id: string, items: readonly StoredItem[], commitId: string): Promise<boolean> {
    const dialogue = this.#dialogues.get(id);
    if (dialogue === undefined) return false;
    if (dialogue.commits.includes(commitId)) return true;
    dialogue.commits.push(commitId);
    if (dialogue.commits.length > COMMITS_KEPT) dialogue.commits.shift();
    dialogue.items = [...dialogue.items, ...items].slice(-this.#maxItems);
    this.#touch(dialogue);
    return true;
  }

  override async recentItems(id: string, limit: number): Promise<readonly StoredItem[]> {
    return limit <= 0 ? [] : (this.#dialogues.get(id)?.items.slice(-limit) ?? []);
  }

  override async listItems(id: string, query: ItemQuery): Promise<Page<StoredItem>> {
    const items = [...(this.#dialogues.get(id)?.items ?? [])];
    if (query.order === 'desc') items.reverse();
    return pageOf(items, (stored) => stored.item.id, query);
  }

  override async getItem(id: string, itemId: string): Promise<StoredItem | undefined> {
    return this.#dialogues.get(id)?.items.find((stored) => stored.item.id === itemId);
  }

  override async deleteItem(id: string, itemId: string): Promise<boolean> {
    const dialogue = this.#dialogues.get(id);
    const index = dialogue?.items.findIndex((stored) => stored.item.id === itemId) ?? -1;
    if (dialogue === undefined || index < 0) return false;
    dialogue.items = dialogue.items.toSpliced(index, 1);
    this.#touch(dialogue);
    return true;
  }

  /** Drops what has outlived its time. */
  sweep(): void {
    this.#dialogues.sweep();
  }

  #touch(dialogue: Dialogue): void {
    dialogue.conversation = { ...dialogue.conversation, updatedAt: Math.floor(this.#time.date() / 1_000) };
  }
}

export class MemoryResponseStore extends ResponseStore {
  readonly #responses: SlidingMap<StoredResponse>;
  /** When the deletion of a response is forgotten, by id; oldest first. */
  readonly #deleted = new Map<string, number>();
  readonly #time: Time;
  readonly #deletedMs: number;

  constructor(options: Pick<MemoryStoreOptions, 'ttlMs' | 'time'> & { readonly deletedMs?: number }) {
    super();
    this.#time = options.time ?? systemTime;
    this.#deletedMs = options.deletedMs ?? LOG_TIMES.deletedMs;
    this.#responses = new SlidingMap(options.ttlMs, this.#time);
  }

  override async put(stored: StoredResponse): Promise<StoredResponse | undefined> {
    const { id } = stored.response;
    if ((this.#deleted.get(id) ?? -Infinity) > this.#time.now()) return undefined;
    const earlier = this.#responses.get(id);
    if (earlier === undefined) this.#responses.set(id, stored);
    return earlier ?? stored;
  }

  override async get(id: string): Promise<StoredResponse | undefined> {
    return this.#responses.get(id);
  }

  override async delete(id: string): Promise<boolean> {
    this.#deleted.set(id, this.#time.now() + this.#deletedMs);
    return this.#responses.delete(id);
  }

  sweep(): void {
    this.#responses.sweep();
    const now = this.#time.now();
    for (const [id, until] of this.#deleted) if (until <= now) this.#deleted.delete(id);
  }
}
