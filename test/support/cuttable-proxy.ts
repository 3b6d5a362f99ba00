/*
 * A network that a test can cut: forwards TCP to a port until the test drops everything. Knows no
 * protocol.
 */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';

export class CuttableProxy {
  #isCut = false;
  /** How many bytes still reach the clients before the cut. */
  #bytesLeft = Infinity;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => {
    if (this.#isCut) {
      near.destroy();
      return;
    }
    const far = connect(this.targetPort, '127.0.0.1');
    near.pipe(far);
    far.pipe(this.#metered()).pipe(near);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  });

  private constructor(public targetPort: number) {}

  static async start(targetPort: number): Promise<CuttableProxy> {
    const proxy = new CuttableProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    // A TCP server that listens has such an address.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Drops every connection and takes no new one. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * Cuts when the clients have been sent this many bytes more, be it in the middle of a character.
   */
  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  mend(): void {
    this.#isCut = false;
    this.#bytesLeft = Infinity;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #metered(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const passed = this.#isCut ? 0 : Math.min(chunk.length, this.#bytesLeft);
        this.#bytesLeft -= passed;
        done(null, chunk.subarray(0, passed));
        // What was passed reaches the kernel first.
        if (this.#bytesLeft === 0) setImmediate(() => this.#bytesLeft === 0 && this.cut());
      },
    });
  }
}
