/*
 * The contract of announcements: watchers of a conversation are notified of each new response in
 * it, on any replica.
 */

export abstract class ConversationAnnouncements {
  /**
   * Announces to the watchers of a conversation that the log of a response exists and can be
   * followed. Idempotent.
   * @throws SluiceError `state_unavailable`
   */
  abstract announce(conversationId: string, responseId: string): Promise<void>;

  /**
   * Calls `onResponse` for every response announced from now on, perhaps more than once. If the
   * message is lost, the call comes later, from the stored list of announcements.
   * @param onGap called after the store was unavailable, when stored announcements may be lost too:
   * read the members of the claim again
   * @returns a function that ends the watch, once the watch is established
   * @throws SluiceError `state_unavailable`
   */
  abstract watch(
    conversationId: string,
    onResponse: (responseId: string) => void,
    onGap: () => void,
  ): Promise<() => void>;
}
