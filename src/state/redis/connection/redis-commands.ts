/*
 * Sends commands and scripts over one connection. This is the only place that sends a command
 * again.
 *
 * A command waits up to `readyWaitMs` for the connection. If the connection closes before the
 * reply, the command is sent on the next connection, until `commandTimeoutMs` have passed. A
 * timeout and an error reply of Redis are not retried here. ioredis resends nothing on a single
 * server; in a Cluster it moves a command to the node that serves the slot, and this file resends
 * nothing. A command that still fails throws `state_unavailable`, and a turn repeats the whole
 * step. Knows no key and no script by name.
 *
 * A command whose reply was lost may run twice, so every command must be safe to repeat. Appends,
 * commits, claims, ends, keys and takes carry a number, id or nonce by which the script recognizes
 * the repeat. Removals report what existed before them. SET, HSET and PEXPIRE have the same effect
 * twice.
 */

import { systemTime, type Time } from '../../../domain/time.js';
import { type RedisClient, type RedisConnector } from './redis-connector.js';
import { type RedisCounts, type RedisHooks, type RedisTiming } from '../redis-options.js';
import { isClosed, isNoScript, meaningOf, stateUnavailable } from './redis-errors.js';
import { type Script } from '../scripts.js';

export type Argument = string | number;

export interface RedisCommandsOptions {
  readonly connector: RedisConnector;
  readonly client: RedisClient;
  readonly timing: RedisTiming;
  readonly counts: RedisCounts;
  readonly hooks: RedisHooks;
  readonly time?: Time;
}

export class RedisCommands {
  readonly client: RedisClient;
  readonly #options: RedisCommandsOptions;
  readonly #time: Time;
  #waiting: Promise<void> | undefined;
  #closed = false;

  constructor(options: RedisCommandsOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
    this.client = options.client;
  }

  /**
   * Runs a script by its digest, or by its text if Redis does not know the digest (SCRIPT FLUSH,
   * another server).
   * @throws SluiceError `state_unavailable`
   */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.#send('evalsha', script.sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isNoScript(error)) throw this.#failed(error);
    }
    try {
      return await this.#send('eval', script.text, keys.length, ...keys, ...args);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Sends one command. @throws SluiceError `state_unavailable` */
  async call(command: string, ...args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.#send(command, ...args);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.client.disconnect();
  }

  async #send(command: string, ...args: readonly Argument[]): Promise<unknown> {
    const { client } = this;
    const { timing, counts } = this.#options;
    const giveUpAt = this.#time.now() + timing.commandTimeoutMs;
    for (let which: 'now' | 'next' = 'now'; ; which = 'next') {
      await this.#ready(which);
      counts.commands += 1;
      try {
        return await client.call(command, ...args);
      } catch (error) {
        if (!isClosed(error) || this.#closed || 'nodes' in client || this.#time.now() > giveUpAt) throw error;
      }
    }
  }

  /**
   * Waits for the connection. All waiting commands share one listener.
   * @param which `next` waits for the next connection: the current one has closed, although
   * `status` may still say `ready`
   */
  async #ready(which: 'now' | 'next'): Promise<void> {
    if (which === 'now' && this.client.status === 'ready') return;
    this.#waiting ??= new Promise<void>((resolve, reject) => {
      const { client } = this;
      const { timing, connector } = this.#options;
      const settle = (): void => {
        clearTimeout(timer);
        client.off('ready', onReady);
        client.off('end', onEnd);
        this.#waiting = undefined;
      };
      const onReady = (): void => {
        settle();
        resolve();
      };
      const onEnd = (): void => {
        settle();
        reject(stateUnavailable(connector.lastError ?? new Error('Connection is closed.')));
      };
      const timer = setTimeout(onEnd, timing.readyWaitMs);
      client.once('ready', onReady);
      client.once('end', onEnd);
      if (client.status === 'end') onEnd();
    });
    await this.#waiting;
  }

  #failed(error: unknown): Error {
    this.#options.hooks.onError?.(meaningOf(error instanceof Error ? (error.cause ?? error) : error).reason);
    return stateUnavailable(error);
  }
}
