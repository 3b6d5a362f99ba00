/*
 * Switches the log level on SIGUSR2 without a restart: to debug, and at the next signal back to the
 * configured level.
 */

import { type Log } from '../observability/log.js';

/** The part of pino that is switched. */
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
    // Log while the level is debug: the configured level may suppress the line.
    if (level === 'debug') this.#holder.level = level;
    this.#logger.warn({ level_now: level }, 'log level changed');
    this.#holder.level = level;
  };
}
