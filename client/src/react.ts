/*
 * A React hook on the client: a conversation as state, streaming included. What it shows comes from
 * one subscription (chat.ts).
 */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { type ChatMessage, type ChatState } from './chat-api.js';
import { Chat } from './chat.js';
import { type ClientOptions, type ConnectionState, createClient, type SendOptions, type Sluice } from './client.js';

export interface UseSluiceOptions extends ClientOptions {
  /**
   * A client that is shared with other parts of the page, in place of one of its own. It is not
   * closed here.
   */
  readonly client?: Sluice;
  /** Which conversation; null or absent: a new one, made with the first question. */
  readonly conversation?: string | null;
}

export interface UseSluice extends ChatState {
  readonly client: Sluice;
  /** How the connection stands. */
  readonly state: ConnectionState;
  /** Sends a question; offline it waits. The message reports what fails. */
  readonly send: (text: string, options?: SendOptions) => void;
  /** Stops every answer that runs in this conversation. */
  readonly cancel: () => void;
}

export type { ChatMessage, ChatState };

/**
 * One conversation, with the question and answer of every device, as they come. The options of the
 * client count when it is first rendered, except `token`, whose newest one is used; another
 * `conversation` is followed at once.
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
  // One of both is there from the first rendering on.
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
