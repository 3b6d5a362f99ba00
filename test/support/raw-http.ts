/* HTTP by hand: sends any bytes, and keeps the answer. Knows no gateway. */

import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class RawHttp {
  readonly socket: Socket;
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>;
  #text = '';

  private constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.setEncoding('utf8').on('data', (chunk: string) => (this.#text += chunk));
    // What is refused may be cut while we still send.
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    this.socket.once('end', () => this.socket.destroy());
  }

  static async open(port: number): Promise<RawHttp> {
    const raw = new RawHttp(port);
    await new Promise((resolve) => raw.socket.once('connect', resolve));
    return raw;
  }

  /** All that came so far. */
  get text(): string {
    return this.#text;
  }

  send(bytes: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** All bytes that were received when the server has closed the connection. */
  async answer(): Promise<RawAnswer> {
    await this.closed;
    const [head = '', ...rest] = this.#text.split('\r\n\r\n');
    const [line = '', ...fields] = head.split('\r\n');
    const headers = fields.map((field) => {
      const [name = '', ...value] = field.split(':');
      return [name.toLowerCase(), value.join(':').trim()] as const;
    });
    return { status: Number(line.split(' ')[1]), headers: Object.fromEntries(headers), body: rest.join('\r\n\r\n') };
  }
}

/** One connection: sends, and reads until the server has closed it. */
export async function exchange(port: number, bytes: string | Uint8Array): Promise<RawAnswer> {
  const raw = await RawHttp.open(port);
  raw.send(bytes);
  return raw.answer();
}
