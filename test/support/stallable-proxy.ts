/*
 * A network in which a connection can go dead without closing, and whose far end can be another
 * server from now on. Passes TCP on; distinguishes connections by what is sent over them. Knows no
 * protocol.
 */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

interface Link {
  readonly near: Socket;
  readonly far: Socket;
  /** The first words of the one who connected. */
  said: string;
  /** What the far end says next is lost, and the connection with it. */
  loses: boolean;
}

export class StallableProxy {
  readonly #links = new Set<Link>();
  #losing: { readonly words: string; readonly command: string } | undefined;
  /** Connections closed in place of a reply, see `loseReply`. */
  lostReplies = 0;
  #refuses = false;
  readonly #server = createServer((near) => {
    if (this.#refuses) {
      near.destroy();
      return;
    }
    const far = connect(this.targetPort, '127.0.0.1');
    const link: Link = { near, far, said: '', loses: false };
    this.#links.add(link);
    near.on('data', (data) => {
      if (link.said.length < 4_096) link.said += data.toString('latin1');
      const { words, command } = this.#losing ?? {};
      if (words !== undefined && command !== undefined && link.said.includes(words)) {
        link.loses ||= data.toString('latin1').toLowerCase().includes(command.toLowerCase());
        if (link.loses) this.#losing = undefined;
      }
      far.write(data);
    });
    far.on('data', (data) => {
      if (!link.loses) {
        near.write(data);
        return;
      }
      this.lostReplies += 1;
      near.destroy();
    });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#links.delete(link);
        other.destroy();
      });
    }
  });

  private constructor(public targetPort: number) {}

  static async start(targetPort: number): Promise<StallableProxy> {
    const proxy = new StallableProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    // A TCP server that listens has such an address.
    return (this.#server.address() as AddressInfo).port;
  }

  /** Stalls connections that sent `words`; they stay open. @returns their number */
  stall(words: string): number {
    const links = [...this.#links].filter(({ said }) => said.includes(words));
    for (const { near, far } of links) {
      near.removeAllListeners('data').resume();
      far.removeAllListeners('data').resume();
    }
    return links.length;
  }

  /**
   * The next `command` over a connection that said `words` is passed on; its reply is not: the
   * connection closes instead.
   */
  loseReply(words: string, command: string): void {
    this.#losing = { words, command };
  }

  /** Drops every connection and takes no new one. */
  cut(): void {
    this.#refuses = true;
    for (const { near } of this.#links) near.destroy();
  }

  mend(): void {
    this.#refuses = false;
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
