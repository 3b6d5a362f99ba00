/*
 * A load balancer as one would put before the replicas, without any stickiness: each new connection
 * goes to the next replica that says it is ready; skips one that refuses. Copies bytes and knows no
 * protocol.
 */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface RoundRobinTarget {
  readonly port: number;
  isReady(timeoutMs?: number): Promise<boolean>;
}

interface Place {
  readonly target: RoundRobinTarget;
  ready: boolean;
}

const CHECK_EVERY_MS = 250;
const CHECK_TIMEOUT_MS = 1_000;

export class RoundRobin {
  /** Connections made so far. */
  connections = 0;
  readonly #places: readonly Place[];
  readonly #sockets = new Map<Socket, Socket>();
  readonly #server = createServer((near) => this.#accept(near));
  #next = 0;
  #closed = false;

  private constructor(targets: readonly RoundRobinTarget[]) {
    this.#places = targets.map((target) => ({ target, ready: true }));
  }

  /** `port` 0: any free one. */
  static async start(targets: readonly RoundRobinTarget[], port = 0): Promise<RoundRobin> {
    const proxy = new RoundRobin(targets);
    proxy.#server.listen(port, '127.0.0.1');
    await once(proxy.#server, 'listening');
    for (const place of proxy.#places) void proxy.#watch(place);
    return proxy;
  }

  get port(): number {
    // A TCP server that listens has such an address.
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get socketUrl(): string {
    return `ws://127.0.0.1:${this.port}/v1/responses`;
  }

  /** Open connections now. */
  get size(): number {
    return this.#sockets.size;
  }

  /** Cuts each connection that `chosen` selects. Returns their number. */
  cut(chosen: () => boolean = () => true): number {
    const cut = [...this.#sockets].filter(chosen);
    for (const [near, far] of cut) {
      near.resetAndDestroy();
      far.destroy();
    }
    return cut.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** The next one that is ready; where none is, any, so that its refusal is heard. */
  #order(): RoundRobinTarget[] {
    const from = this.#next++ % this.#places.length;
    const turned = [...this.#places.slice(from), ...this.#places.slice(0, from)];
    return [...turned.filter(({ ready }) => ready), ...turned.filter(({ ready }) => !ready)].map(
      ({ target }) => target,
    );
  }

  #accept(near: Socket): void {
    this.connections += 1;
    near.on('error', () => near.destroy());
    near.setNoDelay(true);
    this.#connect(near, this.#order());
  }

  #connect(near: Socket, [target, ...others]: RoundRobinTarget[]): void {
    if (target === undefined || near.destroyed) {
      near.destroy();
      return;
    }
    const far = connect({ host: '127.0.0.1', port: target.port, noDelay: true });
    const refused = (): void => this.#connect(near, others);
    far.once('error', refused);
    far.once('connect', () => {
      far.off('error', refused);
      far.on('error', () => near.destroy());
      this.#sockets.set(near, far);
      near.pipe(far).pipe(near);
      near.once('close', () => {
        this.#sockets.delete(near);
        far.destroy();
      });
      far.once('close', () => near.destroySoon());
    });
  }

  async #watch(place: Place): Promise<void> {
    while (!this.#closed) {
      place.ready = await place.target.isReady(CHECK_TIMEOUT_MS);
      await new Promise((resolve) => setTimeout(resolve, CHECK_EVERY_MS).unref());
    }
  }
}
