/* The conversation: the durable dialogue. It outlives sockets and replicas; its items are kept beside it. */

export interface Conversation {
  readonly id: string;
  readonly owner: string;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds of the last change to it or its items. */
  readonly updatedAt: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** How its first question begins, written down with that question; null: none was asked yet. */
  readonly title: string | null;
}

export type NewConversation = Omit<Conversation, 'title'>;
