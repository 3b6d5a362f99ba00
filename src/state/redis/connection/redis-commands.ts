/*
 * Sends commands and scripts over one connection, and is the only place where a command is sent again. A command waits a bounded time for the
 * connection. Where that closes before the reply, the command is sent on the next one, until `commandTimeoutMs` have passed; a timeout or an
 * error of Redis is not retried here. ioredis resends nothing; in a Cluster it moves a command to the node that serves its slot, and nothing is
 * sent again here. What outlasts this fails as `state_unavailable`, and a turn repeats the whole step (`turn/retry-while-unavailable.ts`). Knows no key and no
 * script by name.
 *
 * So every command may be done twice when its reply is lost, and must be safe then: appends, commits, claims, ends and keys carry what they are
 * recognized by; removals say what was there before them; SET, HSET and PEXPIRE repeat. A repeated `take` counts its cost twice at most.
 */

import { systemTime } from '../../../domain/time.js';
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
    const { timing, counts } = this.#options;
    const giveUpAt = systemTime.now() + timing.commandTimeoutMs;
    for (let which: 'now' | 'next' = 'now'; ; which = 'next') {
      await this.#ready(which);
      counts.commands += 1;
      try {
        return await client.call(command, ...args);
      } catch (error) {
        if (!isClosed(error) || this.#closed || 'nodes' in client || systemTime.now() > giveUpAt) throw error;
      }
    }
  }

  /**
   * Waits for the connection; all that wait share one listener. `next`: for another one than there seems to be, which has ended and the
   * client has not noticed yet.
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
