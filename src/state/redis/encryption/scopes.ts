/*
 * Which data key encrypts what: that of the conversation, or of the response where there is no
 * conversation. Erasing a conversation thereby makes its responses unreadable.
 */

import { type StoredResponse } from '../../../domain/response.js';
import { type LogHead, type LogTimes } from '../../event-log.js';
import { KEY_SLACK_MS } from '../scripts.js';
import { type DataKeyScope } from './vault.js';

export interface ScopesOptions {
  readonly times: Pick<LogTimes, 'runningMs' | 'endedUnstoredMs'>;
}

export class Scopes {
  readonly #unstoredMs: number;

  constructor({ times }: ScopesOptions) {
    this.#unstoredMs = times.runningMs + times.endedUnstoredMs + KEY_SLACK_MS;
  }

  ofConversation(id: string): DataKeyScope {
    return { name: id, life: 'stored' };
  }

  ofLog({ responseId, conversationId, store }: LogHead): DataKeyScope {
    return conversationId === null
      ? { name: responseId, life: store ? 'stored' : this.#unstoredMs }
      : this.ofConversation(conversationId);
  }

  ofResponse({ response }: StoredResponse): DataKeyScope {
    return this.ofConversation(response.conversation?.id ?? response.id);
  }
}
