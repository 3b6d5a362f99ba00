/*
 * The conversation: the durable dialogue. It outlives sockets and replicas. Its items are stored
 * separately.
 */

export interface Conversation {
  readonly id: string;
  readonly owner: string;
  /** The class of the credential that created it, which decides how long it is stored. */
  readonly limitsClass?: string;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds of the last change to it or its items. */
  readonly updatedAt: number;
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * The beginning of its first question, stored with that question. Null before the first question.
   */
  readonly title: string | null;
}

export type NewConversation = Omit<Conversation, 'title'>;
