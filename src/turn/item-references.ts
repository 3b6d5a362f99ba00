/*
 * Replaces references of a request by the stored items of the caller that they name. An item's id
 * names the response or conversation that stores it. Compares owners.
 */

import { SluiceError } from '../domain/errors.js';
import { homeOf } from '../domain/ids.js';
import { type Item, type StoredItem, worthKeeping } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { isReference, type ResponseRequest } from '../domain/request.js';
import { type StoredResponse } from '../domain/response.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { ALL_ITEMS, type ContextSource } from './context-source.js';
import { itemBytes } from './item-size.js';

export interface ItemReferencesParts {
  readonly conversations: Pick<ConversationStore, 'get' | 'recentItems'>;
  readonly responses: Pick<ResponseStore, 'get'>;
  /** Whether items are stored that a reference could name. */
  readonly stateEnabled: boolean;
  /** Maximum size of all items that the references of one request name, in bytes. */
  readonly maxBytes: number;
}

export interface ResolvedInput {
  readonly items: readonly Item[];
  /** The place of each item in the request. Places differ where a reference was left out. */
  readonly places: readonly number[];
  /** The items that references named, as they are stored. */
  readonly referenced: ReadonlyMap<Item, StoredItem>;
}

/**
 * Most responses and conversations that are read for one request. The context of a response holds
 * the items before it, so that a history of any length takes one reading.
 */
const MOST_READINGS = 16;
/** Reading stops beyond this multiple of `maxBytes`: parsing costs CPU that others need. */
const READ_PER_KEPT = 2;

export class ItemReferences {
  readonly #parts: ItemReferencesParts;

  constructor(parts: ItemReferencesParts) {
    this.#parts = parts;
  }

  /**
   * Resolves the references of an input. A reference to an item that the context of the turn holds
   * already, or that the input names twice, is left out.
   * @param source the context that the input continues
   * @throws SluiceError `item_not_found`, `parameter_not_allowed`, `invalid_value`
   */
  async resolve(caller: Principal, input: ResponseRequest['input'], source: ContextSource): Promise<ResolvedInput> {
    const found = await this.#find(caller, input, source);
    const items: Item[] = [];
    const places: number[] = [];
    const referenced = new Map<Item, StoredItem>();
    const taken = contextIds(source);
    let bytes = 0;
    input.forEach((item, place) => {
      const stored = isReference(item) ? found.get(item.id) : undefined;
      if (isReference(item)) {
        if (stored === undefined || taken.has(item.id) || isIn(source, item.id)) return;
        taken.add(item.id);
        bytes += itemBytes(stored.item);
        referenced.set(stored.item, stored);
      }
      items.push(stored?.item ?? (item as Item));
      places.push(place);
    });
    if (bytes > this.#parts.maxBytes) throw tooMuch('their items are too large together');
    return { items, places, referenced };
  }

  /**
   * Finds the items of all references, the newest reference first: its response holds the others.
   */
  async #find(
    caller: Principal,
    input: ResponseRequest['input'],
    source: ContextSource,
  ): Promise<ReadonlyMap<string, StoredItem>> {
    const missing = new Set<string>();
    for (const item of input) if (isReference(item)) missing.add(item.id);
    const found = new Map<string, StoredItem>();
    const take = (stored: StoredItem): void => {
      if (missing.delete(stored.item.id)) found.set(stored.item.id, stored);
    };
    if (source.kind === 'previous') source.context.forEach(take);
    let readings = 0;
    let bytes = 0;
    for (let place = input.length - 1; place >= 0; place -= 1) {
      const item = input[place];
      if (item === undefined || !isReference(item) || !missing.has(item.id)) continue;
      const path = `input[${place}]`;
      if (!this.#parts.stateEnabled) throw notAllowed(path);
      readings += 1;
      if (bytes > this.#parts.maxBytes * READ_PER_KEPT) throw tooMuch('what they name is too large together');
      if (readings > MOST_READINGS) throw tooMuch(`they name more than ${MOST_READINGS} responses and conversations`);
      for (const stored of await this.#itemsBeside(caller, item.id)) {
        bytes += itemBytes(stored.item);
        take(stored);
      }
      if (missing.has(item.id)) throw itemNotFound(path);
    }
    return found;
  }

  /** Returns the items of the response or conversation that stores this one. */
  async #itemsBeside(caller: Principal, itemId: string): Promise<readonly StoredItem[]> {
    const { conversations, responses } = this.#parts;
    const home = homeOf(itemId);
    if (home === undefined) return [];
    if (home.kind === 'response') {
      const stored = await responses.get(home.id);
      return stored !== undefined && reaches(caller, stored.owner, stored.response.conversation?.id ?? null)
        ? itemsOf(stored)
        : [];
    }
    const conversation = await conversations.get(home.id);
    const isOwn = conversation !== undefined && reaches(caller, conversation.owner, home.id);
    return isOwn ? conversations.recentItems(home.id, ALL_ITEMS) : [];
  }
}

/**
 * Returns the items of a stored response. The copies in its context come first, because only they
 * hold reasoning that was not shown.
 */
function itemsOf({ response, input, context }: StoredResponse): readonly StoredItem[] {
  const refused = response.sluice.kept === 'display_only';
  return [
    ...context,
    ...input.map((stored) => ({ ...stored, withheld: refused || stored.withheld })),
    ...response.output.filter(worthKeeping).map((item) => ({ item, responseId: response.id, withheld: refused })),
  ];
}

function contextIds(source: ContextSource): Set<string> {
  return new Set(source.kind === 'previous' ? source.context.map(({ item }) => item.id) : []);
}

/** Whether an item is in the conversation that the turn continues. */
function isIn(source: ContextSource, itemId: string): boolean {
  return source.kind === 'conversation' && homeOf(itemId)?.id === source.id;
}

/**
 * Returns the error for an unknown item and for one of another owner: a caller cannot distinguish
 * them.
 */
function itemNotFound(param: string): SluiceError {
  return new SluiceError(
    'item_not_found',
    'unable to find the item of this reference; it does not exist, was not stored, or has expired; send the item itself',
    { param },
  );
}

function notAllowed(param: string): SluiceError {
  return new SluiceError(
    'parameter_not_allowed',
    'unable to look up an item; the configuration turns stored state off; send the item itself',
    { param },
  );
}

function tooMuch(why: string): SluiceError {
  return new SluiceError('invalid_value', `unable to look up the item references; ${why}; send the items themselves`, {
    param: 'input',
  });
}
