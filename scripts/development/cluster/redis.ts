/*
 * Real Redis servers for tests: one, three masters as a Cluster, or a master with a replica and
 * Sentinels. Each in a folder and on a port of its own; can be paused, killed and started again,
 * and is gone when the suite ends.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort, onFreePorts, PortTaken } from './free-port.js';

/** A suite that dies must not leave servers behind. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface RedisServerOptions {
  /** Further settings, as on the command line: `['--requirepass', 'x']`. */
  readonly settings?: readonly string[];
  /**
   * Makes it a node of a Cluster, with a bus port of its own. (Redis would take its port + 10,000,
   * which another program may use.)
   */
  readonly cluster?: boolean;
  /** Makes it a Sentinel that watches this master. */
  readonly watches?: { readonly name: string; readonly port: number; readonly password?: string | undefined };
}

export class RedisServer {
  readonly port: number;
  /** Where the nodes of a Cluster talk to each other; 0: it is part of none. */
  readonly busPort: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  readonly #settings: readonly string[];
  #configuration: readonly string[] = [];
  readonly #password: string | undefined;
  #process: ChildProcess | undefined;
  #admin: Redis | undefined;

  private constructor([port, busPort]: readonly [number, number], { settings = [], watches }: RedisServerOptions) {
    this.port = port;
    this.busPort = busPort;
    const bus = busPort === 0 ? [] : ['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`];
    this.#settings = [...bus, ...settings];
    if (watches !== undefined) this.#becomeSentinel(watches);
    const at = settings.indexOf('--requirepass');
    this.#password = at < 0 ? watches?.password : settings[at + 1];
  }

  static start(options: RedisServerOptions = {}): Promise<RedisServer> {
    return onFreePorts(async () => {
      const ports = [await freePort(), options.cluster === true ? await freePort() : 0] as const;
      const server = new RedisServer(ports, options);
      try {
        await server.start();
      } catch (error) {
        await server.close();
        throw error;
      }
      return server;
    });
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: this.port };
  }

  /**
   * Starts it, again after a stop or kill; resolves when it answers.
   * @throws PortTaken, or with what it said, where it ends instead
   */
  async start(more: readonly string[] = []): Promise<void> {
    const quick = ['--save', '', '--repl-diskless-sync-delay', '0'];
    const own = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.#folder, '--loglevel', 'warning'];
    const child = spawn('redis-server', [...this.#configuration, ...own, ...quick, ...this.#settings, ...more], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)));
    }
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#process = child;
    // When all that it said was heard, too.
    const ended = once(child, 'close').then(() => 'ended' as const);
    for (;;) {
      const state = await Promise.race([this.#answers(), ended]);
      if (state === true) return;
      if (state === 'ended') break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const problem = `redis-server did not start on port ${this.port}: ${said}`;
    throw /already in use|Failed listening/iu.test(said) ? new PortTaken(problem) : new Error(problem);
  }

  /** A connection for what a test does to the server itself. */
  get admin(): Redis {
    // A server that changes its role closes all connections.
    if (this.#admin === undefined || this.#admin.status === 'end') this.#admin = this.#connect();
    return this.#admin;
  }

  /** Resolves when this replica has heard of everything that its master has written by now. */
  async catchUp(master: RedisServer): Promise<void> {
    const offset = async (server: RedisServer, field: string) =>
      Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(await server.admin.info('replication'))?.[1]);
    const wanted = await offset(master, 'master_repl_offset');
    while (!((await offset(this, 'slave_repl_offset')) >= wanted))
      await new Promise((resolve) => setTimeout(resolve, 5));
  }

  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Ends it as an operator does: with what its settings say of saving. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #becomeSentinel({ name, port, password }: NonNullable<RedisServerOptions['watches']>): void {
    const file = join(this.#folder, 'sentinel.conf');
    // Sentinels ask each other for it, too.
    const closed = password === undefined ? '' : `requirepass ${password}\nsentinel sentinel-pass ${password}\n`;
    writeFileSync(
      file,
      `${closed}sentinel monitor ${name} 127.0.0.1 ${port} 2\nsentinel down-after-milliseconds ${name} 700\n` +
        `sentinel failover-timeout ${name} 1000\n`,
    );
    this.#configuration = [file, '--sentinel'];
  }

  #connect(): Redis {
    const password = this.#password === undefined ? {} : { password: this.#password };
    const admin = new Redis({ ...this.address, ...password, disconnectTimeout: 100, retryStrategy: () => null });
    admin.on('error', () => undefined);
    return admin;
  }

  async #answers(): Promise<boolean> {
    const probe = this.#connect();
    try {
      return (await probe.ping()) === 'PONG';
    } catch {
      return false;
    } finally {
      probe.disconnect();
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#admin?.disconnect();
    this.#admin = undefined;
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    await ended;
  }
}

/** Three masters that share the slots. */
export class RedisClusterServers {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  static async start(): Promise<RedisClusterServers> {
    const settings = ['--cluster-node-timeout', '2000'];
    const nodes = await Promise.all([1, 2, 3].map(() => RedisServer.start({ settings, cluster: true })));
    const [first, ...others] = nodes;
    for (const [i, node] of nodes.entries()) {
      const from = Math.floor((16_384 * i) / nodes.length);
      const to = Math.floor((16_384 * (i + 1)) / nodes.length) - 1;
      await node.admin.cluster('ADDSLOTSRANGE', from, to);
    }
    for (const node of others)
      await node.admin.call('CLUSTER', 'MEET', '127.0.0.1', first?.port ?? 0, first?.busPort ?? 0);
    for (const node of nodes) {
      while (!(await node.admin.cluster('INFO')).includes('cluster_state:ok')) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      while ((await node.admin.cluster('SLOTS')).length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new RedisClusterServers(nodes);
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }
}

/** A master, its replica, and three Sentinels that fail over within a second or two. */
export class RedisSentinelServers {
  readonly name = 'main';
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];

  private constructor(master: RedisServer, replica: RedisServer, sentinels: readonly RedisServer[]) {
    this.master = master;
    this.replica = replica;
    this.sentinels = sentinels;
  }

  /** `password`: the one that the Sentinels require; the servers that they watch require none. */
  static async start({ password }: { readonly password?: string } = {}): Promise<RedisSentinelServers> {
    const master = await RedisServer.start();
    const replica = await RedisServer.start({ settings: ['--replicaof', '127.0.0.1', `${master.port}`] });
    while (!(await master.admin.info('replication')).includes('state=online')) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const sentinels: RedisServer[] = [];
    for (let i = 0; i < 3; i++) {
      sentinels.push(await RedisServer.start({ watches: { name: 'main', port: master.port, password } }));
    }
    for (const sentinel of sentinels) {
      // Each must have found the others and the replica before anything may fail over.
      for (;;) {
        const known = String(await sentinel.admin.info('sentinel'));
        if (/slaves=1,sentinels=3/.test(known)) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    return new RedisSentinelServers(master, replica, sentinels);
  }

  /** The server that the Sentinels call the master now. */
  async current(): Promise<RedisServer> {
    const address = await this.sentinels[0]?.admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name);
    return String(address).endsWith(`,${this.replica.port}`) ? this.replica : this.master;
  }

  async close(): Promise<void> {
    await Promise.all([...this.sentinels, this.replica, this.master].map((server) => server.close()));
  }
}
