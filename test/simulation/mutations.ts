/* Former mistakes of this code, put back on purpose: the simulation must find each of them. */

import { type StoredResponse } from '../../src/domain/response.js';
import { ResponseStore } from '../../src/state/conversation-store.js';
import { type ConversationClaim } from '../../src/state/conversation-claim.js';
import { ConversationEntry } from '../../src/state/conversation-entry.js';
import { type State } from '../../src/state/state.js';
import { TurnContexts } from '../../src/turn/turn-context.js';
import { endingInSteps } from '../unit/turn/turn-harness.js';

/** Stores every end over the one before it, and a deleted response again. */
class OverwritingResponses extends ResponseStore {
  readonly #stored = new Map<string, StoredResponse>();

  override put(stored: StoredResponse): Promise<StoredResponse> {
    this.#stored.set(stored.response.id, stored);
    return Promise.resolve(stored);
  }

  override get(id: string): Promise<StoredResponse | undefined> {
    return Promise.resolve(this.#stored.get(id));
  }

  override hasEnded(id: string): Promise<boolean> {
    return Promise.resolve(this.#stored.has(id));
  }

  override delete(id: string): Promise<boolean> {
    return Promise.resolve(this.#stored.delete(id));
  }
}

export function lastEndWins(state: State): State {
  const responses = new OverwritingResponses();
  return { ...state, responses, events: endingInSteps(state.events, responses) };
}

/**
 * Joins a conversation once: what has happened to its place in the queue while its turn stood
 * still, it does not see.
 */
export function joinsOnce(state: State): State {
  const first = new Map<string, { readonly first: boolean }>();
  const claim = new Proxy(state.claim, {
    get: (whole, name) => {
      if (name === 'join')
        return async (...args: Parameters<ConversationClaim['join']>) => {
          const joined = await whole.join(...args);
          first.set(args[1], joined);
          return joined;
        };
      if (name === 'rejoin') return (_: string, responseId: string) => Promise.resolve(first.get(responseId));
      const value: unknown = Reflect.get(whole, name, whole);
      return typeof value === 'function' ? (value.bind(whole) as unknown) : value;
    },
  });
  return { ...state, claim, entry: new ConversationEntry(claim, state.conversations) };
}

/** Does not distinguish a deleted response from one that the store has lost. */
export function forgetsDeletions(state: State): State {
  return { ...state, responses: replaced(state.responses, { hasEnded: () => Promise.resolve(false) }) };
}

/**
 * Does not store a response whose conversation was deleted, although its client did not delete the
 * response.
 */
export function losesEndsWithConversation(state: State): State {
  const put: ResponseStore['put'] = async (stored) => {
    const { contextIn } = stored;
    if (contextIn === undefined || (await state.conversations.get(contextIn)) !== undefined)
      return state.responses.put(stored);
    return undefined;
  };
  const responses = replaced(state.responses, { put });
  return { ...state, responses, events: endingInSteps(state.events, responses) };
}

function replaced<T extends object>(target: T, by: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get: (whole, name) => {
      if (typeof name === 'string' && name in by) return by[name];
      const value: unknown = Reflect.get(whole, name, whole);
      return typeof value === 'function' ? (value.bind(whole) as unknown) : value;
    },
  });
}

/**
 * Reports items as not kept where the response cannot be stored, although the conversation holds
 * them.
 */
export class AllOrNothingContexts extends TurnContexts {
  readonly #responses: ResponseStore;

  constructor(...parts: ConstructorParameters<typeof TurnContexts>) {
    super(...parts);
    [, this.#responses] = parts;
  }

  override async leave(...args: Parameters<TurnContexts['leave']>): Promise<boolean | undefined> {
    const kept = await super.leave(...args);
    // Whether the response can be stored decides about the items, too.
    await this.#responses.get(args[0].responseId);
    return kept;
  }
}
