/*
 * Who listens to which channel: one subscription a channel however many listeners, on the one server or, in a Cluster, on whichever node
 * serves the channel's slot now.
 */

import { type Cluster } from 'ioredis';
import { type RedisConnector } from './redis-connector.js';
import { slotOf } from '../redis-keys.js';
import { type RedisCounts, type RedisHooks, type RedisTiming } from '../redis-options.js';
import { stateUnavailable } from './redis-errors.js';
import { Subscriber, type SubscriberEvents } from './subscriber.js';

export interface ChannelListener {
  readonly onMessage: (payload: string) => void;
  /** Messages may have been missed. */
  readonly onGap: () => void;
}

export interface SubscriptionsOptions {
  readonly connector: RedisConnector;
  /** The Cluster whose slots say where a channel is; none: there is one server. */
  readonly cluster: Cluster | undefined;
  readonly timing: RedisTiming;
  readonly counts: RedisCounts;
  readonly hooks: RedisHooks;
}

interface Channel {
  readonly name: string;
  readonly listeners: Set<ChannelListener>;
  subscriber: Subscriber;
  /** Resolves when it is heard. */
  standing: Promise<void>;
}

const ONE_SERVER = '';

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #channels = new Map<string, Channel>();
  /** By node, as the Cluster's slots name it. */
  readonly #subscribers = new Map<string, Subscriber>();
  #closed = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
    if (options.cluster === undefined) this.#subscriberOf(ONE_SERVER);
  }

  /** The command that publishes to these channels. */
  get publishCommand(): 'PUBLISH' | 'SPUBLISH' {
    return this.#options.cluster === undefined ? 'PUBLISH' : 'SPUBLISH';
  }

  /**
   * Calls `listener` from now on; resolves to what ends it.
   * @throws SluiceError `state_unavailable` where the channel cannot be heard within the time a command may take
   */
  async listen(name: string, listener: ChannelListener): Promise<() => void> {
    const channel = this.#channels.get(name) ?? this.#open(name);
    channel.listeners.add(listener);
    const end = (): void => this.#leave(channel, listener);
    try {
      await within(channel.standing, this.#options.timing.commandTimeoutMs);
    } catch (error) {
      end();
      throw stateUnavailable(this.#options.connector.lastError ?? error);
    }
    return end;
  }

  /** Called with every heartbeat: finds dead connections and channels whose slot has moved. */
  async probe(): Promise<void> {
    this.#follow();
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
    const channel: Channel = { name, listeners: new Set(), subscriber, standing: this.#add(subscriber, name) };
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
    const standing = subscriber.add(name);
    // Whoever listens awaits it; nobody may be left to see it fail.
    standing.catch(() => undefined);
    return standing;
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
        this.#tellGap(names);
      },
      onMoved: () => this.#moved(),
    };
    const at = node.lastIndexOf(':');
    const address = { host: node.slice(0, at), port: Number(node.slice(at + 1)) };
    const client = connector.subscriber(cluster === undefined ? undefined : address);
    const subscriber = new Subscriber(client, cluster !== undefined, events);
    this.#subscribers.set(node, subscriber);
    return subscriber;
  }

  /** A node has told that it no longer serves a channel. Which one is not said, so all are subscribed to again. */
  #moved(): void {
    this.#options.cluster?.refreshSlotsCache(() => {
      this.#follow();
      for (const subscriber of this.#subscribers.values()) void subscriber.restore();
    });
  }

  /** Moves channels to the nodes that serve them now, and lets go of nodes that serve none. */
  #follow(): void {
    const { cluster } = this.#options;
    if (cluster === undefined || this.#closed) return;
    const moved: string[] = [];
    for (const channel of this.#channels.values()) {
      const node = cluster.slots[slotOf(channel.name)]?.[0];
      const now = node === undefined ? channel.subscriber : this.#subscriberOf(node);
      if (now === channel.subscriber) continue;
      channel.subscriber.remove(channel.name);
      channel.subscriber = now;
      channel.standing = this.#add(now, channel.name);
      moved.push(channel.name);
      channel.standing.then(
        () => this.#tellGap([channel.name]),
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

  #tellGap(names: readonly string[]): void {
    for (const name of names) for (const listener of this.#channels.get(name)?.listeners ?? []) listener.onGap();
  }
}

async function within(work: Promise<void>, ms: number): Promise<void> {
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
