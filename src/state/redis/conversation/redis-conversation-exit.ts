/* Leaving a conversation in Redis: one script appends the events, adds the items and leaves. */

import { ConversationExit, type Leaving, type Left } from '../../conversation-exit.js';
import { type RedisCommands } from '../connection/redis-commands.js';
import { type RedisEventLog } from '../log/redis-event-log.js';
import { type RedisKeys } from '../redis-keys.js';
import { type Scripts } from '../scripts.js';
import { type RedisConversationStore } from './redis-conversation-store.js';

export interface RedisConversationExitOptions {
  readonly commands: RedisCommands;
  readonly keys: RedisKeys;
  readonly scripts: Scripts;
  readonly events: RedisEventLog;
  readonly conversations: RedisConversationStore;
  /** Whether a script can only use keys of one slot (Cluster). */
  readonly sharded: boolean;
}

/** What conversation-exit.lua returns: that of append.lua, that of conversation-append.lua. */
type Reply = readonly [number, unknown];

export class RedisConversationExit extends ConversationExit {
  readonly #options: RedisConversationExitOptions;

  constructor(options: RedisConversationExitOptions) {
    super(options.events, options.conversations);
    this.#options = options;
  }

  override async exit(leaving: Leaving): Promise<Left> {
    const { commands, keys, scripts, events: log, conversations, sharded } = this.#options;
    // In a Cluster the log is in another slot than the conversation.
    if (sharded) return super.exit(leaving);
    const { conversationId, responseId, fence, events, items } = leaving;
    const commit = await conversations.commitOf(conversationId, items, responseId);
    const { meta, log: stream, leases } = keys.turn(responseId);
    let added: unknown;
    const appended = await log.appendBy(responseId, events, async (sealed) => {
      const json = sealed.map((event) => event.json);
      const args = [fence, sealed[0]?.sequence ?? 0, 0, json.length, '', ...json, ...commit.args];
      const names = [meta, stream, leases, ...commit.keys];
      const [result, reply] = (await commands.run(scripts.get('conversation-exit'), names, args)) as Reply;
      added = reply;
      return result;
    });
    return appended.outcome === 'fenced'
      ? appended
      : { ...appended, kept: await conversations.committed(conversationId, added) };
  }
}
