/*
 * Finds the context that a request continues: a conversation, or the chain of an earlier response.
 * Compares owners.
 */

import { strayOutput } from '../domain/context.js';
import { SluiceError } from '../domain/errors.js';
import { type Item, type StoredItem } from '../domain/item.js';
import { type Principal, reaches } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { ALL, contextAfter } from './continuation.js';
import { conversationNotFound } from './response-errors.js';
import { refuseStrayOutput, repeatedOutput } from './stray-output.js';
import { type UnstoredResponses } from './unstored-responses.js';

/** Source of a turn's context. */
export type ContextSource =
  | { readonly kind: 'none' }
  | { readonly kind: 'conversation'; readonly id: string }
  | { readonly kind: 'previous'; readonly id: string; readonly context: readonly StoredItem[] };

export interface ContextSourcesParts {
  readonly conversations: Pick<ConversationStore, 'get' | 'recentItems'>;
  readonly responses: Pick<ResponseStore, 'get'>;
  readonly events: Pick<EventLog, 'read'>;
  /** Whether `conversation` and `previous_response_id` are accepted. */
  readonly stateEnabled: boolean;
}

export class ContextSources {
  readonly #parts: ContextSourcesParts;

  constructor(parts: ContextSourcesParts) {
    this.#parts = parts;
  }

  /**
   * Returns the context that a request continues.
   * @param unstored the responses that only the caller's connection remembers
   * @throws SluiceError `conversation_not_found`, `previous_response_not_found`,
   * `response_still_running`, `parameter_not_allowed`
   */
  async of(caller: Principal, request: ResponseRequest, unstored?: UnstoredResponses): Promise<ContextSource> {
    const { conversation, previousResponseId } = request;
    if (conversation === undefined && previousResponseId === undefined) return { kind: 'none' };
    const param = conversation === undefined ? 'previous_response_id' : 'conversation';
    if (!this.#parts.stateEnabled) {
      throw new SluiceError(
        'parameter_not_allowed',
        'unable to continue; the configuration turns stored state off; send the whole context as input',
        {
          param,
        },
      );
    }
    if (conversation !== undefined) {
      const found = await this.#parts.conversations.get(conversation);
      if (found === undefined || !reaches(caller, found.owner, conversation)) throw conversationNotFound();
      return { kind: 'conversation', id: conversation };
    }
    const context = unstored?.contextOf(caller, previousResponseId ?? '');
    if (context !== undefined) return { kind: 'previous', id: previousResponseId ?? '', context };
    return this.#previous(caller, previousResponseId ?? '');
  }

  /**
   * Refuses an output of a function that answers no open call. In a conversation only a second
   * output of a call is refused here: other turns cannot change that a call has its output. An
   * output without a call is checked later, when the turn reaches the head of the queue: a turn
   * before it may still add the call.
   * @param places the place of each item in the request
   * @throws SluiceError `unknown_call_id`, `invalid_value`
   */
  async refuseStrayOutput(source: ContextSource, input: readonly Item[], places: readonly number[]): Promise<void> {
    if (source.kind !== 'conversation') {
      refuseStrayOutput(source.kind === 'previous' ? source.context : [], input, places);
      return;
    }
    if (!input.some(({ type }) => type === 'function_call_output')) return;
    const stray = strayOutput(await this.#parts.conversations.recentItems(source.id, ALL), input);
    if (stray?.repeated === true) throw repeatedOutput(`input[${places[stray.index] ?? stray.index}].call_id`);
  }

  async #previous(caller: Principal, id: string): Promise<ContextSource> {
    const stored = await this.#parts.responses.get(id);
    if (stored !== undefined && reaches(caller, stored.owner, stored.response.conversation?.id ?? null)) {
      const context = await contextAfter(stored, this.#parts.conversations);
      if (context === undefined) throw contextGone();
      return { kind: 'previous', id, context };
    }
    const running = await this.#parts.events.read(id, -1, 0);
    if (running !== undefined && !running.ended && reaches(caller, running.head.owner, running.head.conversationId)) {
      throw new SluiceError(
        'response_still_running',
        'unable to continue from this response; it is still running; wait for its end',
        {
          param: 'previous_response_id',
        },
      );
    }
    throw new SluiceError(
      'previous_response_not_found',
      'unable to continue; the previous response does not exist, was not stored, or has expired; send the whole context or use a conversation',
      { param: 'previous_response_id' },
    );
  }
}

function contextGone(): SluiceError {
  return new SluiceError(
    'previous_response_not_found',
    'unable to continue; the conversation no longer holds the items of the previous response; continue in the conversation',
    { param: 'previous_response_id' },
  );
}
