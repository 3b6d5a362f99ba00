/*
 * The newest responses of each user, so that all of a person's data can be found, exported and
 * erased. Holds ids only, under digests of owners.
 */

/** Most responses of one owner that are listed. The oldest are dropped first. */
export const LISTED_MAX = 10_000;
/** How long the list of an owner is stored after its last entry, in milliseconds. */
export const LISTED_MS = 31 * 24 * 60 * 60_000;

export abstract class OwnerIndex {
  /**
   * Lists a response. Called before the response exists. Safe to repeat.
   * @throws SluiceError `state_unavailable`
   */
  abstract add(owner: string, responseId: string): Promise<void>;
  /** Returns the listed responses of an owner, oldest first. */
  abstract responsesOf(owner: string): Promise<readonly string[]>;
  /** Removes responses from the list. */
  abstract remove(owner: string, responseIds: readonly string[]): Promise<void>;
}
