/*
 * Which connections a heartbeat treats as dead, and which commands are repeated, over connections
 * that a test scripts.
 */

import { EventEmitter } from 'node:events';
import { type Redis } from 'ioredis';
import { describe, expect, it } from '@jest/globals';
import { type RedisConnector } from '../../../../../src/state/redis/connection/redis-connector.js';
import { Heartbeat } from '../../../../../src/state/redis/connection/heartbeat.js';
import { REDIS_TIMING } from '../../../../../src/state/redis/redis-options.js';
import { RedisCommands } from '../../../../../src/state/redis/connection/redis-commands.js';
import { type Subscriptions } from '../../../../../src/state/redis/connection/subscriptions.js';

type Reply = () => Promise<unknown>;

const TIMED_OUT: Reply = () => Promise.reject(new Error('Command timed out'));
const CLOSED: Reply = () => Promise.reject(new Error('Reached the max retries per request limit (which is 0).'));

/**
 * A connection that answers each command with the next of its replies, and then with the last one
 * for ever.
 */
class FakeConnection extends EventEmitter {
  status = 'ready';
  readonly stream = { bytesRead: 0 };
  readonly options = { host: 'h', port: 1 };
  readonly sent: string[] = [];
  dropped = 0;
  readonly #replies: Reply[];

  constructor(replies: readonly Reply[]) {
    super();
    this.#replies = [...replies];
  }

  call(command: string): Promise<unknown> {
    this.sent.push(command);
    const [next] = this.#replies;
    if (this.#replies.length > 1) this.#replies.shift();
    return next === undefined ? Promise.resolve(1) : next();
  }

  ping(): Promise<unknown> {
    return this.call('PING');
  }

  disconnect(): void {
    this.dropped += 1;
  }
}

function commandsOver(connection: FakeConnection): RedisCommands {
  return new RedisCommands({
    // The code under test uses only what the fakes have.
    connector: { lastError: undefined } as RedisConnector,
    client: connection as unknown as Redis,
    timing: REDIS_TIMING,
    counts: { commands: 0, appends: 0, messages: 0 },
    hooks: {},
  });
}

async function beatOver(health: FakeConnection, busy: FakeConnection): Promise<string[]> {
  const states: string[] = [];
  const heartbeat = new Heartbeat({
    connector: {} as RedisConnector,
    health: commandsOver(health),
    forCommands: [commandsOver(busy)],
    subscriptions: { probe: () => Promise.resolve() } as Subscriptions,
    script: { text: '', sha: '' },
    replicasKey: 'replicas',
    replicaId: 'replica_a',
    leaseMs: 8_000,
    timing: REDIS_TIMING,
    hooks: { onState: (state) => states.push(state) },
  });
  await heartbeat.beat().catch(() => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  return states;
}

describe('heartbeat', () => {
  it('keeps a connection on which a large reply is still arriving, and reports Redis up', async () => {
    const busy = new FakeConnection([
      () => {
        busy.stream.bytesRead += 1_000_000;
        return TIMED_OUT();
      },
    ]);
    expect(await beatOver(new FakeConnection([]), busy)).toEqual(['up']);
    expect(busy.sent).toEqual(['PING']);
    expect(busy.dropped).toBe(0);
  });

  it('drops a connection without any data, and still reports Redis up', async () => {
    const busy = new FakeConnection([TIMED_OUT]);
    expect(await beatOver(new FakeConnection([]), busy)).toEqual(['up']);
    expect(busy.dropped).toBe(1);
  });

  it('reports Redis down and drops its own connection when that gets no answer', async () => {
    const health = new FakeConnection([TIMED_OUT]);
    expect(await beatOver(health, new FakeConnection([]))).toEqual(['down']);
    expect(health.dropped).toBe(1);
  });
});

describe('a command', () => {
  it('repeats a command on the next connection when its own closes before the reply', async () => {
    const connection = new FakeConnection([CLOSED, CLOSED, () => Promise.resolve('done')]);
    const done = commandsOver(connection).call('GET', 'a');
    for (let i = 0; i < 2; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(connection.sent).toHaveLength(i + 1);
      connection.emit('ready');
    }
    expect(await done).toBe('done');
    expect(connection.sent).toHaveLength(3);
  });

  it('does not repeat a command after a timeout or an error of Redis', async () => {
    for (const reply of [TIMED_OUT, () => Promise.reject(new Error('OOM command not allowed'))]) {
      const connection = new FakeConnection([reply]);
      await expect(commandsOver(connection).call('GET', 'a')).rejects.toMatchObject({ code: 'state_unavailable' });
      expect(connection.sent).toHaveLength(1);
    }
  });
});
