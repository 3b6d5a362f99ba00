/* SIGUSR2: debug lines from now on, and at the next one the configured level again. For whoever may send a signal, without a restart. */

import { type Log } from '../observability/log.js';

/** As much of pino as is turned. */
export interface LevelHolder {
  level: string;
}

export class LogLevelSwitch {
  readonly #holder: LevelHolder;
  readonly #logger: Log;
  readonly #configured: string;

  constructor(holder: LevelHolder, logger: Log) {
    this.#holder = holder;
    this.#logger = logger;
    this.#configured = holder.level;
  }

  install(): void {
    process.on('SIGUSR2', this.turn);
  }

  readonly turn = (): void => {
    const level = this.#holder.level === this.#configured ? 'debug' : this.#configured;
    // Told while debug lines are written: at the configured level nobody might hear it.
    if (level === 'debug') this.#holder.level = level;
    this.#logger.warn({ level_now: level }, 'log level changed');
    this.#holder.level = level;
  };
}
