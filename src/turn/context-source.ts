/*
 * Finds the context that a request continues: a conversation, or the chain of an earlier response.
 * Compares owners, and refuses outputs of functions that answer no open call.
 */

import { strayOutput } from '../domain/context.js';
import { SluiceError } from '../domain/errors.js';
import { type Item, type StoredItem } from '../domain/item.js';
import { isBoundTo, type Principal, reaches } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { type StoredResponse } from '../domain/response.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { conversationNotFound } from './response-errors.js';
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
      // Its owner is compared when the turn enters the conversation, in the step that reads it.
      if (!isBoundTo(caller, conversation)) throw conversationNotFound();
      return { kind: 'conversation', id: conversation };
    }
    const context = unstored?.contextOf(caller, previousResponseId ?? '');
    if (context !== undefined) return { kind: 'previous', id: previousResponseId ?? '', context };
    return this.#previous(caller, previousResponseId ?? '');
  }

  /**
   * Refuses an output of a function that answers no open call. In a conversation, turns that are
   * ahead in the queue may still add a call, but cannot remove the output of one. So only a second
   * output of a call is refused here. An output without a call is checked when the turn reaches the
   * head of the queue.
   * @param places the place of each item in the request
   * @throws SluiceError `unknown_call_id`, `invalid_value`, `conversation_not_found`
   */
  async refuseStrayOutput(
    caller: Principal,
    source: ContextSource,
    input: readonly Item[],
    places: readonly number[],
  ): Promise<void> {
    if (source.kind !== 'conversation') {
      refuseStrayOutput(source.kind === 'previous' ? source.context : [], input, places);
      return;
    }
    if (!input.some(({ type }) => type === 'function_call_output')) return;
    await refuseUnreachable(caller, source.id, this.#parts.conversations);
    const stray = strayOutput(await this.#parts.conversations.recentItems(source.id, ALL_ITEMS), input);
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

/**
 * Refuses a conversation that does not exist or that the caller may not access.
 * @throws SluiceError `conversation_not_found`
 */
export async function refuseUnreachable(
  caller: Principal,
  id: string,
  conversations: Pick<ConversationStore, 'get'>,
): Promise<void> {
  const found = await conversations.get(id);
  if (found === undefined || !reaches(caller, found.owner, id)) throw conversationNotFound();
}

function contextGone(): SluiceError {
  return new SluiceError(
    'previous_response_not_found',
    'unable to continue; the conversation no longer holds the items of the previous response; continue in the conversation',
    { param: 'previous_response_id' },
  );
}

/**
 * Refuses a function call output without an open call. Providers refuse such input, so a
 * conversation that stored it could not continue.
 * @param places the place of each item in the request, where it differs
 * @throws SluiceError `unknown_call_id`, or `invalid_value` if the call has an output already
 */
export function refuseStrayOutput(
  context: readonly StoredItem[],
  input: readonly Item[],
  places?: readonly number[],
): void {
  const stray = strayOutput(context, input);
  if (stray === undefined) return;
  const param = `input[${places?.[stray.index] ?? stray.index}].call_id`;
  if (stray.repeated) throw repeatedOutput(param);
  throw new SluiceError(
    'unknown_call_id',
    'unable to use a function_call_output; no earlier function call has its call_id; send the call too',
    { param },
  );
}

/** Returns the refusal of a second output for one call. */
function repeatedOutput(param: string): SluiceError {
  return new SluiceError(
    'invalid_value',
    'unable to use a function_call_output; its function call has an output already; send each output once',
    { param },
  );
}

/** Number of items to read for "all of them": more than any conversation keeps. */
export const ALL_ITEMS = 10_000;

/**
 * Reads all items up to and including a stored response. The items of a response in a conversation
 * are read from the conversation, so items that were removed or trimmed meanwhile are missing.
 * Compares no owners: admission has done that.
 * @returns the items, or undefined if the conversation holds none of the response's own items: its
 * position is unknown then, and continuing from another position would give a wrong answer
 * @throws SluiceError `state_unavailable`
 */
export async function contextAfter(
  { response, context, contextIn }: StoredResponse,
  conversations: Pick<ConversationStore, 'recentItems'>,
): Promise<readonly StoredItem[] | undefined> {
  if (contextIn === undefined) return context;
  const items = await conversations.recentItems(contextIn, ALL_ITEMS);
  const last = items.findLastIndex(({ responseId }) => responseId === response.id);
  return last < 0 ? undefined : items.slice(0, last + 1);
}
