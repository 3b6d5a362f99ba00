/*
 * Announcements of new responses, in memory: the watchers are called at once, so no announcement is
 * stored.
 */

import { ConversationAnnouncements } from '../conversation-announcements.js';

export class MemoryConversationAnnouncements extends ConversationAnnouncements {
  readonly #watchers = new Map<string, Set<(responseId: string) => void>>();

  override async announce(conversationId: string, responseId: string): Promise<void> {
    for (const onResponse of this.#watchers.get(conversationId) ?? []) onResponse(responseId);
  }

  override async watch(conversationId: string, onResponse: (responseId: string) => void): Promise<() => void> {
    const watchers = this.#watchers.get(conversationId) ?? new Set();
    const watcher = (responseId: string): void => onResponse(responseId);
    watchers.add(watcher);
    this.#watchers.set(conversationId, watchers);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(conversationId) === watchers) this.#watchers.delete(conversationId);
    };
  }
}
