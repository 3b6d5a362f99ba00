/*
 * A React hook on the client: a conversation as state, including streamed answers. The state comes
 * from one subscription (chat.ts).
 */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { type ChatMessage, type ChatState } from './chat-api.js';
import { Chat } from './chat.js';
import { type ClientOptions, type ConnectionState, createClient, type SendOptions, type Sluice } from './client.js';

export interface UseSluiceOptions extends ClientOptions {
  /**
   * A client shared with other parts of the page. The hook does not close it. Default: a client of
   * the hook's own.
   */
  readonly client?: Sluice;
  /** The conversation to follow. Null or absent: a new one, created with the first question. */
  readonly conversation?: string | null;
}

export interface UseSluice extends ChatState {
  readonly client: Sluice;
  /** State of the connection. */
  readonly state: ConnectionState;
  /** Sends a question. Waits while offline. The message reports failures. */
  readonly send: (text: string, options?: SendOptions) => void;
  /** Cancels every running answer of this conversation. */
  readonly cancel: () => void;
}

export type { ChatMessage, ChatState };

/**
 * Follows one conversation, with questions and answers of every device. The client's options are
 * read at the first rendering, except `token`: its newest value is used. A changed `conversation`
 * is followed at once.
 */
export function useSluice(options: UseSluiceOptions = {}): UseSluice {
  const { client: shared, conversation = null } = options;
  const token = useRef(options.token);
  useEffect(() => {
    token.current = options.token;
  });
  const [own] = useState(() => {
    if (shared !== undefined) return null;
    const current = async (): Promise<string> =>
      (typeof token.current === 'function' ? await token.current() : token.current) ?? '';
    return createClient({ ...options, token: current });
  });
  // One of both exists from the first rendering on.
  const client = (shared ?? own) as Sluice;
  useEffect(() => () => own?.close(), [own]);

  const chat = useMemo(() => new Chat(client, conversation), [client, conversation]);
  const snapshot = useSyncExternalStore(chat.subscribe, chat.snapshot, chat.snapshot);
  const onState = useCallback((changed: () => void) => client.on('state', changed), [client]);
  const state = useSyncExternalStore(
    onState,
    () => client.state,
    () => client.state,
  );
  return { ...snapshot, client, state, send: chat.send, cancel: chat.cancel };
}
