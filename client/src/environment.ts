/*
 * What the client needs of the world around it: sockets, fetch, news of the network and of the tab. In a browser these are its
 * globals; elsewhere (Node) most of the news never comes. Tests hand in their own.
 */

export interface SocketEvent {
  readonly data?: unknown;
  readonly code?: number;
  readonly reason?: string;
}

/** The part of WebSocket that is used. */
export interface Socket {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open' | 'message' | 'close', listener: (event: SocketEvent) => void): void;
}

export interface Environment {
  openSocket(url: string, protocols: string[]): Socket;
  fetch(url: string, init: { method: string; headers: Record<string, string>; body?: string }): Promise<Response>;
  /** False only where the browser knows that there is no network. */
  isOnline(): boolean;
  /** Calls `handler` when the network is back, has gone, or the tab is looked at again. Returns the end of it. */
  onWake(handler: () => void): () => void;
  /** From 0 up to, but not, 1. */
  random(): number;
}

/** Only what is used of the page, each part absent outside of browsers. */
interface Page {
  readonly navigator?: { readonly onLine?: boolean };
  readonly document?: EventTarget & { readonly visibilityState: string };
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
}

export function browserEnvironment(): Environment {
  // The same code is type-checked with and without the DOM's types.
  const page = globalThis as unknown as Page;
  return {
    openSocket: (url, protocols) => new WebSocket(url, protocols) as unknown as Socket,
    fetch: (url, init) => fetch(url, init),
    isOnline: () => page.navigator?.onLine !== false,
    onWake: (handler) => {
      const whenVisible = (): void => {
        if (page.document?.visibilityState === 'visible') handler();
      };
      const names = ['online', 'offline', 'pageshow'];
      for (const name of names) page.addEventListener?.(name, handler);
      page.document?.addEventListener('visibilitychange', whenVisible);
      return () => {
        for (const name of names) page.removeEventListener?.(name, handler);
        page.document?.removeEventListener('visibilitychange', whenVisible);
      };
    },
    random: Math.random,
  };
}
