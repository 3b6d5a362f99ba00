/*
 * The text of conversations as Redis holds it: encrypts and decrypts metadata, titles and items. An
 * encrypted item keeps its id and its size in the clear, because scripts find and count items.
 */

import { type StoredItem } from '../../../domain/item.js';
import { isSealed, PLACES } from '../encryption/sealed-text.js';
import { type Scopes } from '../encryption/scopes.js';
import { type Vault } from '../encryption/vault.js';
import { type RedisHooks } from '../redis-options.js';
import { isObject, parseStored } from '../stored-json.js';

export interface SealedItemsOptions {
  readonly vault: Vault;
  readonly scopes: Scopes;
  readonly hooks: RedisHooks;
}

/** Encrypts what belongs to one conversation. */
export interface ConversationSealer {
  metadata(metadata: Readonly<Record<string, string>>): string;
  /** @returns '' if there is no title */
  title(title: string | undefined): string;
  item(item: StoredItem): string;
}

/**
 * An encrypted item. The scripts read its id and size, so the order of the fields never changes.
 */
interface SealedItem {
  readonly item: { readonly id: string };
  /** Bytes of its JSON. */
  readonly size: number;
  readonly sealed: string;
}

export class SealedItems {
  readonly #options: SealedItemsOptions;

  constructor(options: SealedItemsOptions) {
    this.#options = options;
  }

  /** @throws like Vault.sealer */
  async sealer(id: string): Promise<ConversationSealer> {
    const { vault, scopes } = this.#options;
    const scope = scopes.ofConversation(id);
    const sealer = vault.heldSealer(scope.name) ?? (await vault.sealer(scope));
    return {
      metadata: (metadata) => sealer.text(PLACES.metadata(id), JSON.stringify(metadata)),
      // A title that is stored as text must not look encrypted.
      title: (title = '') =>
        title === '' || (!vault.writes && isSealed(title)) ? '' : sealer.text(PLACES.title(id), title),
      item: (item) => {
        const json = JSON.stringify(item);
        if (!vault.writes) return json;
        const sealed = sealer.text(PLACES.item(id, item.item.id), json);
        return JSON.stringify({
          item: { id: item.item.id },
          size: Buffer.byteLength(json),
          sealed,
        } satisfies SealedItem);
      },
    };
  }

  /** Returns the readable ones of a page. @throws like Vault.open */
  async openItems(id: string, texts: readonly string[]): Promise<StoredItem[]> {
    const items: StoredItem[] = [];
    for (const text of texts) {
      const item = await this.openItem(id, text);
      if (item !== undefined) items.push(item);
    }
    return items;
  }

  /**
   * @returns undefined if the item is unreadable, or its data key was erased.
   * @throws like Vault.open
   */
  async openItem(id: string, text: string): Promise<StoredItem | undefined> {
    const { vault, hooks } = this.#options;
    const stored = parseStored(text, 'item', hooks, isItem);
    if (stored === undefined || !('sealed' in stored)) return stored;
    const json = await vault.open(PLACES.item(id, stored.item.id), stored.sealed);
    return json === undefined ? undefined : parseStored(json, 'item', hooks, isPlainItem);
  }
}

function isItem(value: unknown): value is StoredItem | SealedItem {
  if (!isObject(value) || !('item' in value) || !isObject(value.item)) return false;
  return !('sealed' in value) || (typeof value.sealed === 'string' && isSealed(value.sealed));
}

function isPlainItem(value: unknown): value is StoredItem {
  return isItem(value) && !('sealed' in value);
}

/**
 * Returns an item's id as it is written in the JSON of the item. Message text cannot contain it,
 * since quotes are escaped there.
 */
export function writtenId(itemId: string): string {
  return `"id":${JSON.stringify(itemId)}`;
}
