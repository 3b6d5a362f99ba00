/*
 * One connection that listens to channels of one server. It subscribes again when it was away and says for which channels that was; a probe
 * finds a connection that is open and dead. Knows nothing of what the channels carry.
 */

import { type Redis } from 'ioredis';
import { isClosed } from './redis-errors.js';

export interface SubscriberEvents {
  readonly onMessage: (channel: string, payload: string) => void;
  /** Messages of these channels may have been missed; they are heard again now. */
  readonly onGap: (channels: readonly string[]) => void;
  /** The server no longer serves some of the channels (a Cluster's slots moved). */
  readonly onMoved: () => void;
}

/** Channels named in one command; a Cluster takes one at a time, since each may have its own slot. */
const CHANNELS_AT_ONCE = 256;

export class Subscriber {
  readonly #client: Redis;
  readonly #sharded: boolean;
  readonly #events: SubscriberEvents;
  readonly #channels = new Set<string>();
  #wasReady = false;
  #standing = false;
  /** Settled when the channels of the connection that is being made stand, or there will be none any more. */
  #next = nextTime();

  constructor(client: Redis, sharded: boolean, events: SubscriberEvents) {
    this.#client = client;
    this.#sharded = sharded;
    this.#events = events;
    client.on(sharded ? 'smessage' : 'message', events.onMessage);
    client.on('moved', () => events.onMoved());
    client.on('ready', () => void this.#restore());
    client.on('close', () => (this.#standing = false));
    client.on('end', () => this.#next.reject(new Error('Connection is closed.')));
  }

  get channels(): ReadonlySet<string> {
    return this.#channels;
  }

  /** Resolves when the channel is heard; where the connection is away, when it is back. Rejects where the server refuses it. */
  async add(channel: string): Promise<void> {
    this.#channels.add(channel);
    // A connection that is being made takes it along.
    if (!this.#standing) return this.#next.promise;
    const next = this.#next.promise;
    try {
      await this.#subscribe([channel]);
    } catch (error) {
      // The connection closed before the reply: the next one subscribes to every channel that is still wanted.
      if (!isClosed(error)) throw error;
      await next;
    }
  }

  remove(channel: string): void {
    if (!this.#channels.delete(channel) || !this.#standing) return;
    const done = this.#sharded ? this.#client.sunsubscribe(channel) : this.#client.unsubscribe(channel);
    done.catch(() => undefined);
  }

  /** Subscribes anew to everything, because something was lost on the way. */
  async restore(): Promise<void> {
    if (this.#standing) await this.#restore();
  }

  /** Asks the server for a sign of life, and drops the connection where none comes. */
  async probe(): Promise<void> {
    if (!this.#standing) return;
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
    // What is added from here on is subscribed to by whoever adds it.
    this.#standing = true;
    const { resolve } = this.#next;
    this.#next = nextTime();
    const channels = [...this.#channels];
    try {
      for (let i = 0; i < channels.length; i += CHANNELS_AT_ONCE) {
        // A channel may be removed while an earlier part is under way. Subscribing to it now, after its UNSUBSCRIBE, would leave the
        // connection listening to it for good. Asked in the tick in which the command is sent, so the order on the wire is that of the calls.
        await this.#subscribe(channels.slice(i, i + CHANNELS_AT_ONCE).filter((channel) => this.#channels.has(channel)));
      }
    } catch {
      // Half a set of channels would look like a whole one.
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

function nextTime(): PromiseWithResolvers<void> {
  const next = Promise.withResolvers<void>();
  // There may be nobody who waits.
  next.promise.catch(() => undefined);
  return next;
}
