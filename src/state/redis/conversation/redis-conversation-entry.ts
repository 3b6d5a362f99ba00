/* Entering a conversation in Redis: one script joins the queue and reads what the turn needs. */

import { ConversationEntry, type Entered, type Entering } from '../../conversation-entry.js';
import { type ConversationStore } from '../../conversation-store.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type Vault } from '../encryption/vault.js';
import { PLACES } from '../encryption/sealed-text.js';
import { type RedisKeys } from '../redis-keys.js';
import { type Scripts } from '../scripts.js';
import { type IndexLife } from './index-life.js';
import { QUEUE_TTL_MS, type RedisConversationClaim } from './redis-conversation-claim.js';
import { SealedItems, type SealedItemsOptions } from './sealed-items.js';

export interface RedisConversationEntryOptions extends SealedItemsOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly vault: Vault;
  readonly life: IndexLife;
  readonly claim: RedisConversationClaim;
  readonly conversations: ConversationStore;
  readonly maxBytes: number;
}

/** What conversation-enter.lua returns: place, owner, metadata, items. */
type Reply = readonly [number, string, string, ...string[]] | null;

export class RedisConversationEntry extends ConversationEntry {
  readonly #options: RedisConversationEntryOptions;
  readonly #sealed: SealedItems;

  constructor(options: RedisConversationEntryOptions) {
    super(options.claim, options.conversations);
    this.#options = options;
    this.#sealed = new SealedItems(options);
  }

  override async enter(entering: Entering): Promise<Entered | undefined> {
    const { vault, claim, life } = this.#options;
    const { conversationId, responseId, maxWaiting } = entering;
    const reply = await this.#enter(entering);
    if (reply === null) return undefined;
    const [place, owner, metadata, ...items] = reply;
    life.extend(conversationId, owner);
    // Without its data key, the conversation was erased.
    if ((await vault.open(PLACES.metadata(conversationId), metadata)) === undefined) {
      await claim.leave(conversationId, responseId);
      return undefined;
    }
    // A full queue may hold stale heads, which this join evicts.
    if (place < 0) return claim.join(conversationId, responseId, maxWaiting);
    if (place > 0) return { first: false };
    const recent = (await this.#sealed.openItems(conversationId, items)).reverse();
    // If none of the newest items can be read, older ones may be readable: the turn reads further.
    return recent.length === 0 && items.length > 0 ? { first: true } : { first: true, recent };
  }

  async #enter({ conversationId, responseId, reach, maxWaiting, maxItems }: Entering): Promise<Reply> {
    const { commands, keys, scripts, maxBytes } = this.#options;
    const names = [keys.queue(conversationId), ...keys.conversation(conversationId)];
    const bounds = [maxWaiting, QUEUE_TTL_MS, maxItems, maxBytes];
    const args = [responseId, ...bounds, reach.prefix ?? '', ...reach.owners];
    return (await commands.run(scripts.get('conversation-enter'), names, args)) as Reply;
  }
}
