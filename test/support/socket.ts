/*
 * A raw WebSocket client for tests: keeps every frame, and waits for the requested one. Knows
 * nothing of the official client.
 */

import { WebSocket } from 'ws';

export interface Frame {
  readonly type: string;
  readonly [field: string]: unknown;
}

export class TestSocket {
  readonly frames: Frame[] = [];
  readonly ws: WebSocket;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #waiting = new Set<() => void>();
  #read = 0;

  private constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on('message', (data) => {
      // Every event is JSON with a type: that is what these tests are about.
      this.frames.push(JSON.parse(String(data)) as Frame);
      this.#wake();
    });
    this.closed = new Promise((resolve) =>
      ws.on('close', (code, reason) => {
        resolve({ code, reason: String(reason) });
        this.#wake();
      }),
    );
    ws.on('error', () => undefined);
  }

  static async open(
    url: string,
    options: { readonly protocols?: readonly string[]; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<TestSocket> {
    const ws = new WebSocket(url, [...(options.protocols ?? [])], { headers: { ...options.headers } });
    const socket = new TestSocket(ws);
    await new Promise<void>((resolve, reject) => {
      ws.once('open', () => resolve());
      ws.once('error', reject);
    });
    return socket;
  }

  send(event: object | string): void {
    this.ws.send(typeof event === 'string' ? event : JSON.stringify(event));
  }

  /**
   * The next frame, from where the last wait ended, that matches `test`; skips earlier frames.
   * @throws when the socket closes first
   */
  async next(fits: ((frame: Frame) => boolean) | string): Promise<Frame> {
    const test = typeof fits === 'string' ? (frame: Frame) => frame.type === fits : fits;
    for (;;) {
      for (; this.#read < this.frames.length;) {
        const frame = this.frames[this.#read++];
        if (frame !== undefined && test(frame)) return frame;
      }
      if (this.ws.readyState === WebSocket.CLOSED) throw new Error(`the socket closed before ${String(fits)}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  close(): void {
    this.ws.close();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** True for the one last event of a response. */
export function isTerminalFrame(frame: Frame): boolean {
  return ['response.completed', 'response.incomplete', 'response.failed'].includes(frame.type);
}
