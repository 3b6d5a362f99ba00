/* The newest responses of each user of a single replica, bounded in number over all users. */

import { LISTED_MAX, OwnerIndex } from '../owner-index.js';

/** Most responses that are listed, about 200 bytes each. */
const MOST = 100_000;

export class MemoryOwnerIndex extends OwnerIndex {
  /** Owners by response, oldest first. */
  readonly #owners = new Map<string, string>();
  readonly #responses = new Map<string, Set<string>>();

  override async add(owner: string, responseId: string): Promise<void> {
    this.#owners.set(responseId, owner);
    const own = this.#responses.get(owner) ?? new Set();
    this.#responses.set(owner, own.add(responseId));
    const [oldestOwn] = own;
    if (own.size > LISTED_MAX && oldestOwn !== undefined) this.#drop(oldestOwn);
    const [oldest] = this.#owners.keys();
    if (this.#owners.size > MOST && oldest !== undefined) this.#drop(oldest);
  }

  override async responsesOf(owner: string): Promise<readonly string[]> {
    return [...(this.#responses.get(owner) ?? [])];
  }

  override async remove(owner: string, responseIds: readonly string[]): Promise<void> {
    for (const id of responseIds) if (this.#owners.get(id) === owner) this.#drop(id);
  }

  #drop(responseId: string): void {
    const owner = this.#owners.get(responseId);
    this.#owners.delete(responseId);
    if (owner === undefined) return;
    const own = this.#responses.get(owner);
    own?.delete(responseId);
    if (own?.size === 0) this.#responses.delete(owner);
  }
}
