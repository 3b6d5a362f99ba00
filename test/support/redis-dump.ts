/* Everything that a Redis holds, and everything that it publishes, as text. */

import { type Redis } from 'ioredis';

/** Returns every key with its value, whatever its type. */
export async function redisDump(redis: Redis): Promise<string> {
  const texts: string[] = [];
  for (const key of await redis.keys('*')) texts.push(`${key} ${JSON.stringify(await valueOf(redis, key))}`);
  return texts.join('\n');
}

async function valueOf(redis: Redis, key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case 'string':
      return redis.get(key);
    case 'hash':
      return redis.hgetall(key);
    case 'list':
      return redis.lrange(key, 0, -1);
    case 'set':
      return redis.smembers(key);
    case 'zset':
      return redis.zrange(key, '0', '-1');
    default:
      return redis.xrange(key, '-', '+');
  }
}

/** Collects every command that clients send, with its arguments, and every message. */
export class RedisTraffic {
  readonly #texts: string[];
  readonly #connections: readonly Redis[];

  private constructor(texts: string[], connections: readonly Redis[]) {
    this.#texts = texts;
    this.#connections = connections;
  }

  static async of(redis: Redis): Promise<RedisTraffic> {
    const texts: string[] = [];
    const monitor = (await redis.duplicate().monitor()) as Redis;
    monitor.on('monitor', (_time: string, args: readonly string[]) => texts.push(args.join(' ')));
    const subscriber = redis.duplicate();
    await subscriber.psubscribe('*');
    subscriber.on('pmessage', (_pattern: string, channel: string, message: string) =>
      texts.push(`${channel} ${message}`),
    );
    return new RedisTraffic(texts, [monitor, subscriber]);
  }

  get text(): string {
    return this.#texts.join('\n');
  }

  close(): void {
    for (const connection of this.#connections) connection.disconnect();
  }
}
