/*
 * What a subscriber connection listens to after any order of adding, removing and reconnecting,
 * compared with a scripted server.
 */

import { EventEmitter } from 'node:events';
import { type Redis } from 'ioredis';
import { describe, expect, it } from '@jest/globals';
import { Subscriber } from '../../../../../src/state/redis/connection/subscriber.js';

/**
 * A connection whose replies a test releases. Its server processes commands in order, with or
 * without a reply.
 */
class FakeClient extends EventEmitter {
  status = 'ready';
  readonly subscribed = new Set<string>();
  #waiting: PromiseWithResolvers<void>[] = [];

  subscribe(...channels: string[]): Promise<void> {
    for (const channel of channels) this.subscribed.add(channel);
    return this.#reply();
  }

  unsubscribe(...channels: string[]): Promise<void> {
    for (const channel of channels) this.subscribed.delete(channel);
    return this.#reply();
  }

  /** Answers pending commands, and those that the answers cause. */
  async answer(): Promise<void> {
    for (let idle = 0; idle < 3; idle++) {
      if (this.#waiting.length > 0) idle = 0;
      for (const { resolve } of this.#waiting.splice(0)) resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Closes the connection: pending commands fail, and the server forgets the connection. */
  close(): void {
    this.subscribed.clear();
    this.emit('close');
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('Connection is closed.'));
  }

  #reply(): Promise<void> {
    const reply = Promise.withResolvers<void>();
    this.#waiting.push(reply);
    return reply.promise;
  }
}

function connected(): { client: FakeClient; subscriber: Subscriber; gaps: string[][] } {
  const client = new FakeClient();
  const gaps: string[][] = [];
  const events = {
    onMessage: () => undefined,
    onGap: (names: readonly string[]) => gaps.push([...names]),
    onMoved: () => undefined,
  };
  // The subscriber uses only what the fake has.
  const subscriber = new Subscriber(client as unknown as Redis, false, events);
  client.emit('ready');
  return { client, subscriber, gaps };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `channel ${i}`);

describe('subscriber', () => {
  it('does not listen to a channel that was removed while the channels were restored', async () => {
    const { client, subscriber } = connected();
    await client.answer();
    // More than one command, so that the last one is sent in a later round.
    const adding = Promise.all(names(600).map((name) => subscriber.add(name)));
    await client.answer();
    await adding;
    client.close();
    client.emit('ready');
    subscriber.remove('channel 599');
    await client.answer();
    expect(client.subscribed).toEqual(new Set(names(599)));
  });

  it('listens to a channel that was removed and added again while the channels were restored', async () => {
    const { client, subscriber } = connected();
    await client.answer();
    const adding = Promise.all(names(600).map((name) => subscriber.add(name)));
    await client.answer();
    await adding;
    client.close();
    client.emit('ready');
    for (const name of ['channel 0', 'channel 599']) {
      subscriber.remove(name);
      void subscriber.add(name);
      subscriber.remove(name);
      void subscriber.add(name);
    }
    await client.answer();
    expect(client.subscribed).toEqual(new Set(names(600)));
  });

  it('resolves an addition by the next connection when its own closes before the reply', async () => {
    const { client, subscriber } = connected();
    await client.answer();
    const added = subscriber.add('a');
    client.close();
    let settled = false;
    void added.finally(() => (settled = true));
    await client.answer();
    expect(settled).toBe(false);
    client.emit('ready');
    await client.answer();
    await added;
    expect(client.subscribed).toEqual(new Set(['a']));
  });

  it('rejects an addition that the server refuses', async () => {
    const { client, subscriber } = connected();
    await client.answer();
    client.subscribe = () => Promise.reject(new Error('NOPERM no channel permission'));
    await expect(subscriber.add('a')).rejects.toThrow('NOPERM');
  });
});
