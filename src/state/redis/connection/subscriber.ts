/*
 * One connection that is subscribed to channels of one server. After a reconnect it subscribes
 * again and reports the channels whose messages may be lost. A probe detects a connection that is
 * open but dead. Knows nothing of the messages' content.
 */

import { type Redis } from 'ioredis';
import { isClosed } from './redis-errors.js';

export interface SubscriberEvents {
  readonly onMessage: (channel: string, payload: string) => void;
  /** Messages of these channels may have been lost; the connection is subscribed to them again. */
  readonly onGap: (channels: readonly string[]) => void;
  /** The server no longer serves some of the channels, because slots of the Cluster moved. */
  readonly onMoved: () => void;
}

/**
 * Most channels in one SUBSCRIBE. In a Cluster each command names one channel, since each may be in
 * another slot.
 */
const CHANNELS_AT_ONCE = 256;

export class Subscriber {
  readonly #client: Redis;
  readonly #sharded: boolean;
  readonly #events: SubscriberEvents;
  readonly #channels = new Set<string>();
  #wasReady = false;
  /** Whether the connection is open and takes subscriptions. */
  #subscribed = false;
  /**
   * Resolves when the next connection is subscribed to all channels; rejects when there will be no
   * further connection.
   */
  #next = handledPromise();

  constructor(client: Redis, sharded: boolean, events: SubscriberEvents) {
    this.#client = client;
    this.#sharded = sharded;
    this.#events = events;
    client.on(sharded ? 'smessage' : 'message', events.onMessage);
    client.on('moved', () => events.onMoved());
    client.on('ready', () => void this.#restore());
    client.on('close', () => (this.#subscribed = false));
    client.on('end', () => this.#next.reject(new Error('Connection is closed.')));
  }

  /** The channels that are subscribed to, or will be after the next reconnect. */
  get channels(): ReadonlySet<string> {
    return this.#channels;
  }

  /**
   * Subscribes to a channel. Resolves when the subscription is established, after a reconnect if
   * need be.
   * @throws Error the reply of Redis, if it refuses the channel
   */
  async add(channel: string): Promise<void> {
    this.#channels.add(channel);
    // A connection that is being opened subscribes to all channels of the set, this one included.
    if (!this.#subscribed) return this.#next.promise;
    const next = this.#next.promise;
    try {
      await this.#subscribe([channel]);
    } catch (error) {
      // The connection closed before the reply. The next connection subscribes to every channel
      // that is still in the set.
      if (!isClosed(error)) throw error;
      await next;
    }
  }

  remove(channel: string): void {
    if (!this.#channels.delete(channel) || !this.#subscribed) return;
    const done = this.#sharded ? this.#client.sunsubscribe(channel) : this.#client.unsubscribe(channel);
    done.catch(() => undefined);
  }

  /** Subscribes to all channels again, because some subscriptions may be lost. */
  async restore(): Promise<void> {
    if (this.#subscribed) await this.#restore();
  }

  /** Pings the server, and replaces the connection if there is no reply. */
  async probe(): Promise<void> {
    if (!this.#subscribed) return;
    try {
      await this.#client.ping();
    } catch {
      if (this.#client.status === 'ready') this.#client.disconnect(true);
    }
  }

  close(): void {
    this.#client.disconnect();
  }

  async #restore(): Promise<void> {
    const again = this.#wasReady;
    this.#wasReady = true;
    // `add` can run between here and the end of this function. It sees the flag and subscribes to
    // its channel itself, so no channel is missed, although the list below is already fixed.
    this.#subscribed = true;
    const { resolve } = this.#next;
    this.#next = handledPromise();
    const channels = [...this.#channels];
    try {
      for (let i = 0; i < channels.length; i += CHANNELS_AT_ONCE) {
        // A channel can be removed while an earlier chunk awaits its reply. Subscribing to it now,
        // after its UNSUBSCRIBE, would keep the subscription for ever. The set is read in the tick
        // in which the command is sent, so the order on the wire is the order of the calls.
        await this.#subscribe(channels.slice(i, i + CHANNELS_AT_ONCE).filter((channel) => this.#channels.has(channel)));
      }
    } catch {
      // Some channels failed. Continuing would look like a complete subscription and lose messages,
      // so the connection is replaced.
      if (this.#client.status === 'ready') this.#client.disconnect(true);
      this.#next.promise.then(resolve, resolve);
      return;
    }
    resolve();
    if (again) this.#events.onGap(channels);
  }

  async #subscribe(channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return;
    if (this.#sharded) await Promise.all(channels.map((channel) => this.#client.ssubscribe(channel)));
    else await this.#client.subscribe(...channels);
  }
}

/**
 * Returns a promise that may reject without a caller that awaits it; that would end the process as
 * an unhandled rejection.
 */
function handledPromise(): PromiseWithResolvers<void> {
  const next = Promise.withResolvers<void>();
  next.promise.catch(() => undefined);
  return next;
}
