/* Mistakes that were made once, to be put back on purpose: the simulation has to find each of them. */

import { type StoredResponse } from '../../src/domain/response.js';
import { ResponseStore } from '../../src/state/conversation-store.js';
import { type State } from '../../src/state/state.js';
import { TurnMemory } from '../../src/turn/memory.js';

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

  override delete(id: string): Promise<boolean> {
    return Promise.resolve(this.#stored.delete(id));
  }
}

export function lastEndWins(state: State): State {
  return { ...state, responses: new OverwritingResponses() };
}

/** Reports items as not kept where the response cannot be stored, although the conversation holds them. */
export class AllOrNothingMemory extends TurnMemory {
  readonly #responses: ResponseStore;

  constructor(...parts: ConstructorParameters<typeof TurnMemory>) {
    super(...parts);
    [, this.#responses] = parts;
  }

  override async keepItems(...args: Parameters<TurnMemory['keepItems']>): Promise<boolean> {
    const kept = await super.keepItems(...args);
    // Whether the response can be stored decides about the items, too.
    await this.#responses.get(args[0].id);
    return kept;
  }
}
