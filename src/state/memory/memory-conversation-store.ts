/*
 * Conversations and their items in memory, with the same bounds and sliding time to live as in
 * Redis. Items are stored as bytes: their size is known exactly, and the garbage collector does not
 * traverse them.
 */

import { type Conversation, type NewConversation } from '../../domain/conversation.js';
import { derivedTitle, type DerivedTitle } from '../../domain/conversation-title.js';
import { newestWithin, type StoredItem } from '../../domain/item.js';
import { systemTime, type Time } from '../../domain/time.js';
import {
  anotherWriter,
  COMMITS_KEPT,
  COMMITTED_MS,
  ConversationStore,
  type ItemQuery,
  MAX_BYTES,
  type Page,
  pageOf,
} from '../conversation-store.js';
import { type Retention, ttlOf } from '../retention.js';
import { MemoryBudget, packed } from './memory-budget.js';
import { type MemoryConversationClaim } from './memory-conversation-claim.js';
import { SlidingMap } from './sliding-map.js';

export interface MemoryStoreOptions extends Retention {
  /** Most items stored of one conversation. */
  readonly maxItems: number;
  /** Most bytes of one conversation's items. */
  readonly maxBytes?: number;
  readonly time?: Time;
}

interface KeptItem {
  readonly id: string;
  readonly bytes: Buffer;
}

interface Commit {
  readonly id: string;
  /** By `Time.now()`. */
  readonly at: number;
}

interface Dialogue {
  conversation: NewConversation;
  title: DerivedTitle | null;
  items: readonly KeptItem[];
  /** Oldest first. */
  readonly commits: Commit[];
}

export interface MemoryConversationStoreOptions extends MemoryStoreOptions {
  readonly budget?: MemoryBudget;
  readonly claim?: Pick<MemoryConversationClaim, 'isBusy' | 'writerOf' | 'leave'>;
}

const NO_BOUND = { maxBytes: Infinity };

export class MemoryConversationStore extends ConversationStore {
  readonly #dialogues: SlidingMap<Dialogue>;
  readonly #bounds: { readonly maxItems: number; readonly maxBytes: number };
  readonly #retention: Retention;
  readonly #time: Time;
  readonly #claim: MemoryConversationStoreOptions['claim'];

  constructor(options: MemoryConversationStoreOptions) {
    super();
    const { ttlMs, maxItems, maxBytes, time, budget, claim } = options;
    this.#retention = options;
    this.#claim = claim;
    this.#time = time ?? systemTime;
    this.#dialogues = new SlidingMap({
      ttlMs,
      time: this.#time,
      budget: budget ?? new MemoryBudget(NO_BOUND),
      kind: 'conversation',
      ...(claim === undefined ? {} : { isPinned: (id: string) => claim.isBusy(id) }),
    });
    this.#bounds = { maxItems, maxBytes: maxBytes ?? MAX_BYTES };
  }

  override async create(conversation: NewConversation, items: readonly StoredItem[]): Promise<void> {
    const kept = newestWithin(items, this.#bounds).map(keptItem);
    this.#keep({ conversation, title: derivedTitle(items), items: kept, commits: [] });
  }

  override async get(id: string): Promise<Conversation | undefined> {
    const dialogue = this.#dialogues.get(id);
    return dialogue === undefined ? undefined : titled(dialogue);
  }

  override async updateMetadata(
    id: string,
    metadata: Readonly<Record<string, string>>,
  ): Promise<Conversation | undefined> {
    const dialogue = this.#dialogues.get(id);
    if (dialogue === undefined) return undefined;
    dialogue.conversation = { ...dialogue.conversation, metadata };
    this.#changed(dialogue);
    return titled(dialogue);
  }

  override async delete(id: string): Promise<boolean> {
    return this.#dialogues.delete(id);
  }

  override async listByOwner(
    owner: string,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>> {
    const own = [...this.#dialogues.values()].filter(({ conversation }) => conversation.owner === owner).map(titled);
    own.sort((a, b) => b.updatedAt - a.updatedAt || (a.id < b.id ? 1 : -1));
    return pageOf(own, (conversation) => conversation.id, query);
  }

  override async idsOfOwner(owner: string, limit: number): Promise<readonly string[]> {
    return (await this.listByOwner(owner, { limit })).data.map(({ id }) => id);
  }

  override async appendItems(id: string, items: readonly StoredItem[], commitId: string): Promise<boolean> {
    try {
      return this.#append(id, items, commitId);
    } finally {
      void this.#claim?.leave(id, commitId);
    }
  }

  #append(id: string, items: readonly StoredItem[], commitId: string): boolean {
    const dialogue = this.#dialogues.get(id);
    if (dialogue === undefined) return false;
    const { commits } = dialogue;
    if (commits.some((commit) => commit.id === commitId)) return true;
    const writer = items.length === 0 ? commitId : (this.#claim?.writerOf(id) ?? commitId);
    if (writer !== commitId) throw anotherWriter();
    const now = this.#time.now();
    commits.push({ id: commitId, at: now });
    while (commits.length > COMMITS_KEPT && now - (commits[0]?.at ?? now) > COMMITTED_MS) commits.shift();
    dialogue.items = this.#within([...dialogue.items, ...items.map(keptItem)]);
    dialogue.title ??= derivedTitle(items);
    this.#changed(dialogue);
    return true;
  }

  override async recentItems(id: string, limit: number): Promise<readonly StoredItem[]> {
    return limit <= 0 ? [] : (this.#dialogues.get(id)?.items.slice(-limit).map(storedItem) ?? []);
  }

  override async listItems(id: string, query: ItemQuery): Promise<Page<StoredItem>> {
    const items = [...(this.#dialogues.get(id)?.items ?? [])];
    if (query.order === 'desc') items.reverse();
    const page = pageOf(items, (kept) => kept.id, query);
    return { ...page, data: page.data.map(storedItem) };
  }

  override async getItem(id: string, itemId: string): Promise<StoredItem | undefined> {
    const kept = this.#dialogues.get(id)?.items.find((item) => item.id === itemId);
    return kept === undefined ? undefined : storedItem(kept);
  }

  override async deleteItem(id: string, itemId: string): Promise<boolean> {
    const dialogue = this.#dialogues.get(id);
    const index = dialogue?.items.findIndex((kept) => kept.id === itemId) ?? -1;
    if (dialogue === undefined || index < 0) return false;
    dialogue.items = dialogue.items.toSpliced(index, 1);
    // A title must not show text of a deleted item.
    if (dialogue.title?.itemId === itemId) dialogue.title = derivedTitle(dialogue.items.map(storedItem));
    this.#changed(dialogue);
    return true;
  }

  /** Drops expired conversations. */
  sweep(): void {
    this.#dialogues.sweep();
  }

  #within(items: readonly KeptItem[]): readonly KeptItem[] {
    const { maxItems, maxBytes } = this.#bounds;
    let bytes = bytesOf(items);
    let from = 0;
    for (; items.length - from > maxItems || (bytes > maxBytes && items.length - from > 1); from += 1) {
      bytes -= items[from]?.bytes.length ?? 0;
    }
    return items.slice(from);
  }

  #changed(dialogue: Dialogue): void {
    dialogue.conversation = { ...dialogue.conversation, updatedAt: Math.floor(this.#time.date() / 1_000) };
    this.#keep(dialogue);
  }

  #keep(dialogue: Dialogue): void {
    const { id, metadata, limitsClass } = dialogue.conversation;
    const bytes = bytesOf(dialogue.items) + dialogue.items.length * ITEM_BYTES;
    const whole = bytes + JSON.stringify(metadata).length;
    this.#dialogues.set(id, dialogue, whole, ttlOf(this.#retention, limitsClass));
  }
}

function titled({ conversation, title }: Dialogue): Conversation {
  return { ...conversation, title: title?.text ?? null };
}

/** Bytes that a buffer, an id and the object around them take beside the content. */
const ITEM_BYTES = 250;

function bytesOf(items: readonly KeptItem[]): number {
  let bytes = 0;
  for (const item of items) bytes += item.bytes.length;
  return bytes;
}

function keptItem(stored: StoredItem): KeptItem {
  return { id: stored.item.id, bytes: packed(stored) };
}

function storedItem({ bytes }: KeptItem): StoredItem {
  // The cast is safe: only `keptItem` writes these bytes.
  return JSON.parse(bytes.toString()) as StoredItem;
}
