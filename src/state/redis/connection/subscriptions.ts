/*
 * The listeners of each Redis channel: one subscription for each channel, shared by its listeners,
 * on the one server or, in a Cluster, on the node that serves the channel's slot.
 */

import { type Cluster } from 'ioredis';
import { type RedisConnector } from './redis-connector.js';
import { slotOf } from '../redis-keys.js';
import { type RedisCounts, type RedisHooks, type RedisTiming } from '../redis-options.js';
import { stateUnavailable } from './redis-errors.js';
import { Subscriber, type SubscriberEvents } from './subscriber.js';

export interface ChannelListener {
  readonly onMessage: (payload: string) => void;
  /** Messages may have been lost. */
  readonly onGap: () => void;
}

export interface SubscriptionsOptions {
  readonly connector: RedisConnector;
  /** The Cluster whose slots assign channels to nodes; undefined for a single server. */
  readonly cluster: Cluster | undefined;
  readonly timing: RedisTiming;
  readonly counts: RedisCounts;
  readonly hooks: RedisHooks;
}

interface Channel {
  readonly name: string;
  readonly listeners: Set<ChannelListener>;
  subscriber: Subscriber;
  /** Resolves when the subscription is established. */
  subscribed: Promise<void>;
}

const ONE_SERVER = '';

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #channels = new Map<string, Channel>();
  /** By node (`host:port`, as the Cluster's slots name it). */
  readonly #subscribers = new Map<string, Subscriber>();
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    if (options.cluster === undefined) this.#subscriberOf(ONE_SERVER);
  }

  /** The command that publishes to the channels. */
  get publishCommand(): 'PUBLISH' | 'SPUBLISH' {
    return this.#options.cluster === undefined ? 'PUBLISH' : 'SPUBLISH';
  }

  /**
   * Calls `listener` for the messages of a channel from now on.
   * @returns a function that removes the listener, once the subscription is established
   * @throws SluiceError `state_unavailable` if the subscription is not established within
   * `commandTimeoutMs`
   */
  async listen(name: string, listener: ChannelListener): Promise<() => void> {
    const channel = this.#channels.get(name) ?? this.#open(name);
    channel.listeners.add(listener);
    const end = (): void => this.#leave(channel, listener);
    try {
      await failingAfter(channel.subscribed, this.#options.timing.commandTimeoutMs);
    } catch (error) {
      end();
      throw stateUnavailable(this.#options.connector.lastError ?? error);
    }
    return end;
  }

  /**
   * Replaces dead connections and moves channels whose slot has moved. Called with every heartbeat.
   */
  async probe(): Promise<void> {
    this.#moveChannels();
    await Promise.all([...this.#subscribers.values()].map((subscriber) => subscriber.probe()));
  }

  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers.values()) subscriber.close();
    this.#subscribers.clear();
    this.#channels.clear();
  }

  #open(name: string): Channel {
    const subscriber = this.#subscriberOf(this.#nodeOf(name));
    const channel: Channel = { name, listeners: new Set(), subscriber, subscribed: this.#add(subscriber, name) };
    this.#channels.set(name, channel);
    return channel;
  }

  #leave(channel: Channel, listener: ChannelListener): void {
    if (!channel.listeners.delete(listener) || channel.listeners.size > 0) return;
    if (this.#channels.get(channel.name) !== channel) return;
    this.#channels.delete(channel.name);
    channel.subscriber.remove(channel.name);
    this.#options.counts.commands += 1;
  }

  #add(subscriber: Subscriber, name: string): Promise<void> {
    this.#options.counts.commands += 1;
    const subscribed = subscriber.add(name);
    // Callers await this promise; the catch only avoids an unhandled rejection when they are gone.
    subscribed.catch(() => undefined);
    return subscribed;
  }

  #nodeOf(name: string): string {
    const { cluster } = this.#options;
    if (cluster === undefined) return ONE_SERVER;
    const node = cluster.slots[slotOf(name)]?.[0];
    if (node === undefined) throw stateUnavailable(new Error('CLUSTERDOWN no node serves the slot'));
    return node;
  }

  #subscriberOf(node: string): Subscriber {
    const known = this.#subscribers.get(node);
    if (known !== undefined) return known;
    const { connector, cluster, counts, hooks } = this.#options;
    const events: SubscriberEvents = {
      onMessage: (name, payload) => {
        counts.messages += 1;
        for (const listener of this.#channels.get(name)?.listeners ?? []) listener.onMessage(payload);
      },
      onGap: (names) => {
        hooks.onSubscriberReset?.();
        this.#reportGap(names);
      },
      onMoved: () => this.#onMoved(),
    };
    const at = node.lastIndexOf(':');
    const address = { host: node.slice(0, at), port: Number(node.slice(at + 1)) };
    const client = connector.subscriber(cluster === undefined ? undefined : address);
    const subscriber = new Subscriber(client, cluster !== undefined, events);
    this.#subscribers.set(node, subscriber);
    return subscriber;
  }

  /**
   * Subscribes to all channels again: a node no longer serves one of its channels and does not
   * report which.
   */
  #onMoved(): void {
    this.#options.cluster?.refreshSlotsCache(() => {
      this.#moveChannels();
      for (const subscriber of this.#subscribers.values()) void subscriber.restore();
    });
  }

  /**
   * Moves channels to the nodes that serve them now, and closes the connections to nodes that serve
   * none.
   */
  #moveChannels(): void {
    const { cluster } = this.#options;
    if (cluster === undefined || this.#closed) return;
    const moved: string[] = [];
    for (const channel of this.#channels.values()) {
      const node = cluster.slots[slotOf(channel.name)]?.[0];
      const now = node === undefined ? channel.subscriber : this.#subscriberOf(node);
      if (now === channel.subscriber) continue;
      channel.subscriber.remove(channel.name);
      channel.subscriber = now;
      channel.subscribed = this.#add(now, channel.name);
      moved.push(channel.name);
      channel.subscribed.then(
        () => this.#reportGap([channel.name]),
        () => undefined,
      );
    }
    if (moved.length > 0) this.#options.hooks.onSubscriberReset?.();
    for (const [node, subscriber] of this.#subscribers) {
      if (subscriber.channels.size > 0) continue;
      subscriber.close();
      this.#subscribers.delete(node);
    }
  }

  #reportGap(names: readonly string[]): void {
    for (const name of names) for (const listener of this.#channels.get(name)?.listeners ?? []) listener.onGap();
  }
}

/** Waits for `work`. @throws Error if it takes longer than `ms` milliseconds */
async function failingAfter(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('Command timed out')), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
