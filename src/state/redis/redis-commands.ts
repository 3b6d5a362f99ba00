/*
 * Sends commands and scripts over one connection. A command waits a bounded time for the connection, is sent again once where it was
 * closed under it, and fails as `state_unavailable`, whatever Redis says. Knows no key and no script by name.
 */

import { type RedisClient, type RedisConnector } from './connection.js';
import { type RedisCounts, type RedisHooks, type RedisTiming } from './options.js';
import { isClosed, isNoScript, meaningOf, stateUnavailable } from './redis-errors.js';
import { type Script } from './scripts.js';

export type Argument = string | number;

export interface RedisCommandsOptions {
  readonly connector: RedisConnector;
  readonly client: RedisClient;
  readonly timing: RedisTiming;
  readonly counts: RedisCounts;
  readonly hooks: RedisHooks;
}

export class RedisCommands {
  readonly client: RedisClient;
  readonly #options: RedisCommandsOptions;
  #waiting: Promise<void> | undefined;
  #closed = false;

  constructor(options: RedisCommandsOptions) {
    this.#options = options;
    this.client = options.client;
  }

  /** Runs a script by its digest; Redis is given its text where it has forgotten it (SCRIPT FLUSH, another server). */
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
    await this.#ready('now');
    this.#options.counts.commands += 1;
    try {
      return await client.call(command, ...args);
    } catch (error) {
      // The connection was going down under it. All commands here may be done twice.
      if (!isClosed(error) || this.#closed) throw error;
      await this.#ready('nodes' in client ? 'now' : 'next');
      this.#options.counts.commands += 1;
      return client.call(command, ...args);
    }
  }

  /**
   * Waits for the connection; all that wait share one listener. `next`: for another one than there seems to be, which has ended and the
   * client has not noticed yet. (A Cluster looks after its connections itself.)
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
