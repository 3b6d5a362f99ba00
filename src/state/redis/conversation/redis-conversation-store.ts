/*
 * Conversations and their items in Redis: each in one slot, bounded, its life extended by every
 * use. Each owner has an index of conversations.
 */

import { type Conversation, type NewConversation } from '../../../domain/conversation.js';
import { derivedTitle } from '../../../domain/conversation-title.js';
import { newestWithin, type StoredItem } from '../../../domain/item.js';
import {
  anotherWriter,
  COMMITS_KEPT,
  COMMITTED_MS,
  ConversationStore,
  type ItemQuery,
  type Page,
} from '../../conversation-store.js';
import { type Retention } from '../../retention.js';
import { type RedisKeys } from '../redis-keys.js';
import { type RedisHooks } from '../redis-options.js';
import { type Argument, type RedisCommands } from '../connection/redis-commands.js';
import { type ScriptName, type Scripts } from '../scripts.js';
import { PLACES } from '../encryption/sealed-text.js';
import { type Scopes } from '../encryption/scopes.js';
import { type Vault } from '../encryption/vault.js';
import { isObject, parseStored } from '../stored-json.js';
import { type IndexLife } from './index-life.js';
import { SealedItems, writtenId } from './sealed-items.js';

export interface RedisConversationStoreOptions extends Retention {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly hooks: RedisHooks;
  readonly vault: Vault;
  readonly scopes: Scopes;
  readonly life: IndexLife;
  /** Whether a script can only use keys of one slot (Cluster). */
  readonly sharded: boolean;
  /** Most conversations that an owner can list; older ones can only be read by id. */
  readonly maxListed?: number;
}

/** Keys and arguments of a commit. */
export interface Commit {
  readonly keys: readonly string[];
  readonly args: readonly Argument[];
}

/** A head as the conversation scripts return it: owner, created, updated, metadata, title. */
type HeadFields = readonly [string | null, string, string, string, string | null];

/**
 * A conversation. The title is undefined if an older version wrote none, or its item was deleted.
 */
interface Head extends NewConversation {
  readonly title: string | undefined;
}

/** A title that was never written is derived from the first items, within these bounds. */
const TITLE_ITEMS = 10;
const TITLE_BYTES = 16 * 1024;
const MAX_LISTED = 1_000;

export class RedisConversationStore extends ConversationStore {
  readonly #options: RedisConversationStoreOptions;
  readonly #sealed: SealedItems;

  constructor(options: RedisConversationStoreOptions) {
    super();
    this.#options = options;
    this.#sealed = new SealedItems(options);
  }

  override async create(conversation: NewConversation, items: readonly StoredItem[]): Promise<void> {
    const { id, owner, createdAt, updatedAt, metadata, limitsClass = '' } = conversation;
    const title = derivedTitle(items);
    const sealer = await this.#sealed.sealer(id);
    await this.#run('conversation-create', id, [
      ...[owner, createdAt, updatedAt, sealer.metadata(metadata), sealer.title(title?.text), title?.itemId ?? ''],
      limitsClass,
      ...newestWithin(items, this.#options).map((item) => sealer.item(item)),
    ]);
    await this.#index(owner, id, updatedAt);
  }

  override async get(id: string): Promise<Conversation | undefined> {
    const head = await this.#read(id, true);
    if (head === undefined) return undefined;
    this.#options.life.extend(id, head.owner);
    return this.#titled(head);
  }

  override async updateMetadata(
    id: string,
    metadata: Readonly<Record<string, string>>,
  ): Promise<Conversation | undefined> {
    const sealer = await this.#sealed.sealer(id);
    const reply = await this.#run('conversation-update', id, [sealer.metadata(metadata)]);
    const head = await this.#headOf(id, reply as HeadFields | null);
    if (head === undefined) return undefined;
    await this.#index(head.owner, id, head.updatedAt);
    return this.#titled(head);
  }

  /**
   * Deletes a conversation. The result is what was read before the DEL, so it is right even if the
   * DEL ran twice after a lost reply.
   */
  override async delete(id: string, responses: 'delete' | 'keep' = 'delete'): Promise<boolean> {
    const { commands, keys, vault } = this.#options;
    // Read without its text: an encrypted conversation can be deleted without its key.
    const [owner] = (await this.#run('conversation-read', id, [0])) as HeadFields;
    await commands.call('DEL', ...keys.conversation(id));
    // The data key of the conversation encrypts its responses, too.
    if (responses === 'delete') await vault.erase(id);
    if (owner !== null) await commands.call('ZREM', keys.owner(owner), id);
    return owner !== null;
  }

  override async listByOwner(
    owner: string,
    query: { readonly limit: number; readonly after?: string },
  ): Promise<Page<Conversation>> {
    const { commands, keys } = this.#options;
    const index = keys.owner(owner);
    const rank = query.after === undefined ? null : await commands.call('ZREVRANK', index, query.after);
    let from = rank === null ? 0 : Number(rank) + 1;
    const found: Head[] = [];
    // Read one more than requested to see whether more follow. Expired conversations are skipped
    // and removed from the index.
    while (found.length <= query.limit) {
      const wanted = query.limit + 1 - found.length;
      const ids = (await commands.call('ZREVRANGE', index, from, from + wanted - 1)) as readonly string[];
      if (ids.length === 0) break;
      const heads = await Promise.all(ids.map((id) => this.#read(id, false)));
      const gone = ids.filter((_, i) => heads[i] === undefined);
      if (gone.length > 0) await commands.call('ZREM', index, ...gone);
      found.push(...heads.filter((head) => head !== undefined));
      from += ids.length - gone.length;
    }
    const data = await Promise.all(found.slice(0, query.limit).map((head) => this.#titled(head)));
    return { data, hasMore: found.length > query.limit };
  }

  override async idsOfOwner(owner: string, limit: number): Promise<readonly string[]> {
    const { commands, keys } = this.#options;
    const index = keys.owner(owner);
    for (;;) {
      const ids = (await commands.call('ZREVRANGE', index, 0, limit - 1)) as readonly string[];
      const heads = (await Promise.all(ids.map((id) => this.#run('conversation-read', id, [0])))) as HeadFields[];
      const gone = ids.filter((_, i) => heads[i]?.[0] === null);
      if (gone.length === 0) return ids;
      await commands.call('ZREM', index, ...gone);
    }
  }

  override async appendItems(id: string, items: readonly StoredItem[], commitId: string): Promise<boolean> {
    const { commands, scripts } = this.#options;
    const commit = await this.commitOf(id, items, commitId);
    return this.committed(id, await commands.run(scripts.get('conversation-append'), commit.keys, commit.args));
  }

  /** Returns keys and arguments of conversation-append.lua. @throws like Vault.sealer */
  async commitOf(id: string, items: readonly StoredItem[], commitId: string): Promise<Commit> {
    const { keys, life, sharded, maxItems, maxBytes, maxListed = MAX_LISTED } = this.#options;
    const title = derivedTitle(items);
    const sealer = await this.#sealed.sealer(id);
    const owner = sharded ? undefined : life.ownerOf(id);
    const names = [...keys.conversation(id), keys.queue(id), keys.committed(id, commitId)];
    if (owner !== undefined) names.push(keys.owner(owner));
    const args = [
      ...[commitId, maxItems, maxBytes, COMMITS_KEPT, COMMITTED_MS, keys.turns(id), owner ?? '', id, maxListed],
      ...[sealer.title(title?.text), title?.itemId ?? ''],
      ...items.map((item) => sealer.item(item)),
    ];
    return { keys: names, args };
  }

  /**
   * Takes the reply of conversation-append.lua: owner, time of the change, whether the owner's
   * index has it.
   * @returns false if the conversation is gone
   * @throws SluiceError `conversation_busy`; `state_unavailable`
   */
  async committed(id: string, reply: unknown): Promise<boolean> {
    if (reply === 0) throw anotherWriter();
    const indexed = reply !== null && (reply as readonly unknown[])[2] === 1;
    return indexed || this.#changed(id, reply);
  }

  override async recentItems(id: string, limit: number): Promise<readonly StoredItem[]> {
    if (limit <= 0) return [];
    return (await this.#page(id, { limit, order: 'desc' })).data.toReversed();
  }

  override async listItems(id: string, query: ItemQuery): Promise<Page<StoredItem>> {
    return this.#page(id, query);
  }

  override async getItem(id: string, itemId: string): Promise<StoredItem | undefined> {
    const text = await this.#find(id, itemId);
    return text === null ? undefined : this.#sealed.openItem(id, text);
  }

  /**
   * Deletes an item. The result is what was found before the removal, so it is right even if the
   * removal ran twice after a lost reply.
   */
  override async deleteItem(id: string, itemId: string): Promise<boolean> {
    const text = await this.#find(id, itemId);
    return text !== null && this.#changed(id, await this.#run('conversation-drop-item', id, [text, itemId]));
  }

  async #read(id: string, keepAlive: boolean): Promise<Head | undefined> {
    return this.#headOf(id, (await this.#run('conversation-read', id, [keepAlive ? 1 : 0])) as HeadFields);
  }

  async #find(id: string, itemId: string): Promise<string | null> {
    return (await this.#run('conversation-find', id, [itemId, writtenId(itemId)])) as string | null;
  }

  async #page(id: string, { limit, order, after = '' }: ItemQuery): Promise<Page<StoredItem>> {
    const query = [order === 'asc' ? 1 : 0, limit, this.#options.maxBytes, after, writtenId(after)];
    for (let place = 0, previous = ''; ;) {
      // conversation-items.lua: whether more items follow, the place after the page, items.
      const reply = await this.#run('conversation-items', id, [...query, place, previous]);
      const [more, next, ...items] = reply as readonly [string, number, ...string[]];
      const data = await this.#sealed.openItems(id, items);
      // A page of entries that do not parse is skipped: a client takes an empty page for the end of
      // the list.
      if (data.length > 0 || items.length === 0 || more !== '1') return { data, hasMore: more === '1' };
      [place, previous] = [next, items.at(-1) ?? ''];
    }
  }

  async #titled({ title, ...head }: Head): Promise<Conversation> {
    if (title !== undefined) return { ...head, title: title === '' ? null : title };
    const first = (await this.#run('conversation-first', head.id, [TITLE_ITEMS, TITLE_BYTES])) as readonly string[];
    for (const text of first) {
      const item = await this.#sealed.openItem(head.id, text);
      const derived = item === undefined ? null : derivedTitle([item]);
      if (derived === null) continue;
      const sealer = await this.#sealed.sealer(head.id);
      await this.#run('conversation-title', head.id, [sealer.title(derived.text), derived.itemId, text]);
      return { ...head, title: derived.text };
    }
    return { ...head, title: null };
  }

  async #headOf(id: string, fields: HeadFields | null): Promise<Head | undefined> {
    if (fields === null || fields[0] === null) return undefined;
    const { vault, hooks } = this.#options;
    const [owner, created, updated, metadataText, titleText] = fields;
    const metadata = await vault.open(PLACES.metadata(id), metadataText);
    const title = titleText === null ? undefined : await vault.open(PLACES.title(id), titleText);
    // Without its data key, the conversation was erased.
    if (metadata === undefined) return undefined;
    return {
      id,
      owner,
      createdAt: Number(created),
      updatedAt: Number(updated),
      metadata: parseStored(metadata, 'metadata', hooks, isMetadata) ?? {},
      title,
    };
  }

  /**
   * Updates the owner's index after a change.
   * @param reply owner and time of the change, or null if the conversation is gone
   * @returns whether the conversation exists
   */
  async #changed(id: string, reply: unknown): Promise<boolean> {
    if (reply === null) return false;
    const [owner, updated] = reply as readonly [string, string];
    await this.#index(owner, id, Number(updated));
    return true;
  }

  async #index(owner: string, id: string, updatedAt: number): Promise<void> {
    const { commands, keys, scripts, maxListed = MAX_LISTED } = this.#options;
    this.#options.life.remember(id, owner);
    await commands.run(scripts.get('owner-index'), [keys.owner(owner)], [id, updatedAt, maxListed]);
  }

  #run(script: ScriptName, id: string, args: readonly Argument[]): Promise<unknown> {
    const { commands, keys, scripts } = this.#options;
    return commands.run(scripts.get(script), keys.conversation(id), args);
  }
}

function isMetadata(value: unknown): value is Readonly<Record<string, string>> {
  return isObject(value);
}
