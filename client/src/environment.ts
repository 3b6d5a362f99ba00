/*
 * The environment of the client: sockets, fetch, and changes of the network and of the tab. In a
 * browser these are globals. Node does not report most changes. Tests pass their own.
 */

export interface SocketEvent {
  readonly data?: unknown;
  readonly code?: number;
  readonly reason?: string;
}

/** The used part of WebSocket. */
export interface Socket {
  /** Bytes that were not handed to the network yet. */
  readonly bufferedAmount?: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'message' | 'close', listener: (event: SocketEvent) => void): void;
}

interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * `wake`: the network has changed, or the page is visible again. `sleep`: the page is about to be
 * frozen or left.
 */
export type PageNews = 'wake' | 'sleep';

export interface Environment {
  openSocket(url: string, protocols: string[]): Socket;
  fetch(url: string, init: FetchInit): Promise<Response>;
  /** Returns false only if the browser knows that there is no network. */
  isOnline(): boolean;
  /** Returns a function that removes the handler. */
  onNews(handler: (news: PageNews) => void): () => void;
  /** Returns a number of at least 0 and less than 1. */
  random(): number;
}

/** The used parts of the page. All are absent outside of browsers. */
interface Page extends Target {
  readonly navigator?: { readonly onLine?: boolean };
  readonly document?: Target & { readonly visibilityState: string };
}

interface Target {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

export function browserEnvironment(): Environment {
  // The same code is type-checked with and without the DOM's types.
  const page = globalThis as unknown as Page;
  return {
    openSocket: (url, protocols) => new WebSocket(url, protocols) as unknown as Socket,
    // A field that is undefined counts as absent. Not every version of the types says so.
    fetch: (url, init) => fetch(url, init as RequestInit),
    isOnline: () => page.navigator?.onLine !== false,
    onNews: (handler) => {
      const wake = (): void => handler('wake');
      const sleep = (): void => handler('sleep');
      const whenVisible = (): void => {
        if (page.document?.visibilityState === 'visible') wake();
      };
      const listeners = [
        [page, 'online', wake],
        [page, 'offline', wake],
        [page, 'pageshow', wake],
        [page, 'pagehide', sleep],
        [page.document, 'visibilitychange', whenVisible],
        [page.document, 'resume', wake],
        [page.document, 'freeze', sleep],
      ] as const;
      for (const [target, name, listener] of listeners) target?.addEventListener?.(name, listener);
      return () => {
        for (const [target, name, listener] of listeners) target?.removeEventListener?.(name, listener);
      };
    },
    random: Math.random,
  };
}
