/*
 * A small deployment on loopback: a durable Redis, replicas, and a load balancer in front of them.
 */

import { RedisServer } from './redis.js';
import { Replica, type ReplicaConfig } from './replica.js';
import { RoundRobin } from './round-robin.js';

export interface LocalClusterOptions {
  readonly replicas?: number;
  /** Sections of the configuration of each replica. */
  readonly config?: ReplicaConfig;
  readonly env?: NodeJS.ProcessEnv;
  /** Port of the load balancer; 0, which it is by default: any. */
  readonly port?: number;
  /** Settings of Redis, as on its command line. */
  readonly redis?: readonly string[];
}

/** What has been said stays said when Redis is killed. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'everysec'];

export class LocalCluster {
  private constructor(
    readonly redis: RedisServer,
    readonly replicas: readonly Replica[],
    readonly proxy: RoundRobin,
  ) {}

  /** Resolves when every replica is ready. */
  static async start({ replicas = 3, config = {}, env, port = 0, redis = [] }: LocalClusterOptions = {}) {
    const server = await RedisServer.start({ settings: [...DURABLE, ...redis] });
    const state = { type: 'redis', url: server.url, ...config['state'] };
    try {
      const started = await Promise.all(
        Array.from({ length: replicas }, (_, i) => Replica.start(`replica-${i + 1}`, { ...config, state }, env)),
      );
      return new LocalCluster(server, started, await RoundRobin.start(started, port));
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  get url(): string {
    return this.proxy.url;
  }

  get socketUrl(): string {
    return this.proxy.socketUrl;
  }

  async close(): Promise<void> {
    await this.proxy.close();
    await Promise.all(this.replicas.map((replica) => replica.close()));
    await this.redis.close();
  }
}
