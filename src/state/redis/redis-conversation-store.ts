/* Conversations and their items in Redis: each in one slot, bounded, alive as long as it is used; an index of each owner's beside them. */

import { type Conversation } from '../../domain/conversation.js';
import { type StoredItem } from '../../domain/item.js';
import { COMMITS_KEPT, ConversationStore, type ItemQuery, type Page, pageOf } from '../conversation-store.js';
import { type RedisKeys } from './keys.js';
import { type RedisCommands } from './redis-commands.js';
import { type Scripts } from './scripts.js';

export interface RedisConversationStoreOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly ttlMs: number;
  readonly maxItems: number;
  /** Most conversations that an owner can list; older ones are reached by their id only. */
  readonly maxListed?: number;
}

/** What the conversation scripts say of a head: owner, created, updated, metadata. */
type HeadFields = readonly [string | null, string, string, string];

export class RedisConversationStore extends ConversationStore {
  readonly #options: RedisConversationStoreOptions;

  constructor(options: RedisConversationStoreOptions) {
    super();
    this.#options = options;
  }

  override async create(conversation: Conversation, items: readonly StoredItem[]): Promise<void> {
    const { commands, keys, scripts, maxItems } = this.#options;
    const { id, owner, createdAt, updatedAt, metadata } = conversation;
    await commands.run(scripts.get('conversation-create'), keys.conversation(id), [
      ...[owner, createdAt, updatedAt, JSON.stringify(metadata), maxItems],
      ...items.slice(-maxItems).map((item) => JSON.stringify(item)),
    ]);
    await this.#index(owner, id, updatedAt);
  }

  override async get(id: string): Promise<Conversation | undefined> {
    const conversation = await this.#read(id, true);
    if (conversation !== undefined) {
      const { commands, keys, ttlMs } = this.#options;
      // The index lives as long as what it lists; nobody waits for that.
      void commands.call('PEXPIRE', keys.owner(conversation.owner), ttlMs).catch(() => undefined);
    }
    return conversation;
  }

  override async updateMetadata(
    id: string,
    metadata: Readonly<Record<string, string>>,
  ): Promise<Conversation | undefined> {
    const { commands, keys, scripts } = this.#options;
    const args = [JSON.stringify(metadata)];
    const reply = await commands.run(scripts.get('conversation-update'), keys.conversation(id), args);
    const conversation = conversationOf(id, reply as HeadFields | null);
    if (conversation !== undefined) await this.#index(conversation.owner, id, conversation.updatedAt);
    return conversation;
  }

  override async delete(id: string): Promise<boolean> {
    const { commands, keys } = this.#options;
    const conversation = await this.#read(id, false);
    const deleted = Number(await commands.call('DEL', ...keys.conversation(id)));
    if (conversation !== undefined) await commands.call('ZREM', keys.owner(conversation.owner), id);
    return deleted > 0 && conversation !== undefined;
  }

  override async listByOwner(
    owner: string,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>> {
    const { commands, keys } = this.#options;
    const index = keys.owner(owner);
    const rank = query.after === undefined ? null : await commands.call('ZREVRANK', index, query.after);
    let from = rank === null ? 0 : Number(rank) + 1;
    const found: Conversation[] = [];
    // One more than asked for says whether there is more; what has expired is skipped and forgotten.
    while (found.length <= query.limit) {
      const wanted = query.limit + 1 - found.length;
      const ids = (await commands.call('ZREVRANGE', index, from, from + wanted - 1)) as readonly string[];
      if (ids.length === 0) break;
      const conversations = await Promise.all(ids.map((id) => this.#read(id, false)));
      const gone = ids.filter((_, i) => conversations[i] === undefined);
      if (gone.length > 0) await commands.call('ZREM', index, ...gone);
      found.push(...conversations.filter((conversation) => conversation !== undefined));
      from += ids.length - gone.length;
    }
    return { data: found.slice(0, query.limit), hasMore: found.length > query.limit };
  }

  override async appendItems(id: string, items: readonly StoredItem[], commitId: string): Promise<boolean> {
    const { commands, keys, scripts, maxItems } = this.#options;
    const reply = await commands.run(scripts.get('conversation-append'), keys.conversation(id), [
      ...[commitId, maxItems, COMMITS_KEPT],
      ...items.map((item) => JSON.stringify(item)),
    ]);
    return this.#changed(id, reply);
  }

  override async recentItems(id: string, limit: number): Promise<readonly StoredItem[]> {
    return limit <= 0 ? [] : this.#items(id, -limit, -1);
  }

  override async listItems(id: string, query: ItemQuery): Promise<Page<StoredItem>> {
    const { limit, order, after } = query;
    // Without a place to start at, one end of the list is enough; it holds one more than asked for where there is more.
    const whole = after !== undefined;
    const items = await (order === 'asc'
      ? this.#items(id, 0, whole ? -1 : limit)
      : this.#items(id, whole ? 0 : -limit - 1, -1));
    return pageOf(order === 'asc' ? items : items.toReversed(), (stored) => stored.item.id, query);
  }

  override async getItem(id: string, itemId: string): Promise<StoredItem | undefined> {
    return (await this.#items(id, 0, -1)).find((stored) => stored.item.id === itemId);
  }

  override async deleteItem(id: string, itemId: string): Promise<boolean> {
    const { commands, keys, scripts } = this.#options;
    const item = await this.getItem(id, itemId);
    if (item === undefined) return false;
    const args = [JSON.stringify(item)];
    return this.#changed(id, await commands.run(scripts.get('conversation-drop-item'), keys.conversation(id), args));
  }

  async #read(id: string, keepAlive: boolean): Promise<Conversation | undefined> {
    const { commands, keys, scripts } = this.#options;
    const reply = await commands.run(scripts.get('conversation-read'), keys.conversation(id), [keepAlive ? 1 : 0]);
    return conversationOf(id, reply as HeadFields);
  }

  async #items(id: string, first: number, last: number): Promise<StoredItem[]> {
    const { commands, keys, scripts } = this.#options;
    const reply = await commands.run(scripts.get('conversation-items'), keys.conversation(id), [first, last]);
    // Only this file writes these lists.
    return (reply as readonly string[]).map((json) => JSON.parse(json) as StoredItem);
  }

  /** Brings the owner's index up to a change that a script has told as owner and time; null: there was nothing to change. */
  async #changed(id: string, reply: unknown): Promise<boolean> {
    if (reply === null) return false;
    const [owner, updated] = reply as readonly [string, string];
    await this.#index(owner, id, Number(updated));
    return true;
  }

  async #index(owner: string, id: string, updatedAt: number): Promise<void> {
    const { commands, keys, scripts, maxListed = 1_000 } = this.#options;
    await commands.run(scripts.get('owner-index'), [keys.owner(owner)], [id, updatedAt, maxListed]);
  }
}

function conversationOf(id: string, fields: HeadFields | null): Conversation | undefined {
  if (fields === null || fields[0] === null) return undefined;
  const [owner, created, updated, metadata] = fields;
  return {
    id,
    owner,
    createdAt: Number(created),
    updatedAt: Number(updated),
    // Only this file writes it.
    metadata: JSON.parse(metadata) as Record<string, string>,
  };
}
