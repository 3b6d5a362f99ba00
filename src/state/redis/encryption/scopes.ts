/*
 * Which data key encrypts what: that of the conversation, or of the response where there is no
 * conversation. Erasing a conversation thereby makes its responses unreadable.
 */

import { type StoredResponse } from '../../../domain/response.js';
import { type LogHead, type LogTimes } from '../../event-log.js';
import { KEY_SLACK_MS } from './data-keys.js';
import { type DataKeyScope } from './vault.js';

export interface ScopesOptions {
  /** Longest time to live of conversations and responses, in milliseconds. */
  readonly ttlMs: number;
  readonly times: Pick<LogTimes, 'runningMs' | 'endedMs' | 'endedUnstoredMs'>;
}

export class Scopes {
  readonly #storedMs: number;
  readonly #unstoredMs: number;

  constructor({ ttlMs, times }: ScopesOptions) {
    this.#storedMs = Math.max(ttlMs, times.runningMs + times.endedMs) + KEY_SLACK_MS;
    this.#unstoredMs = times.runningMs + times.endedUnstoredMs + KEY_SLACK_MS;
  }

  ofConversation(id: string): DataKeyScope {
    return { name: id, lifeMs: this.#storedMs };
  }

  ofLog({ responseId, conversationId, store }: LogHead): DataKeyScope {
    return conversationId === null
      ? { name: responseId, lifeMs: store ? this.#storedMs : this.#unstoredMs }
      : this.ofConversation(conversationId);
  }

  ofResponse({ response }: StoredResponse): DataKeyScope {
    return this.ofConversation(response.conversation?.id ?? response.id);
  }
}
