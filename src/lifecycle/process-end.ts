/*
 * Handles signals and sets the exit code. The first SIGTERM or SIGINT closes the app gracefully:
 * code 0 if every turn ended by itself, 1 if some were aborted. A second signal aborts running
 * turns at once, and the exit code names the signal (130, 143).
 *
 * Nest's enableShutdownHooks is not used: it ignores a second signal, has no deadline, and ends
 * with 0 (or by the signal) in every case. The hooks themselves are Nest's: app.close() runs them
 * all, in Nest's order.
 */

import { constants } from 'node:os';
import { type Log } from '../observability/log.js';
import { type Drain } from './drain.js';
import { type After, systemAfter, withDeadline } from './with-deadline.js';

export interface ProcessEndOptions {
  /** Time limit of the close after the first signal, in milliseconds. */
  readonly closeWithinMs: number;
  /** Time limit of the close after the second signal, in milliseconds. */
  readonly hurryWithinMs: number;
}

/** The part of `process` that is used here. */
export interface EndableProcess {
  on(signal: 'SIGTERM' | 'SIGINT', listener: (signal: 'SIGTERM' | 'SIGINT') => void): unknown;
  exit(code: number): void;
}

export interface ClosableApp {
  close(signal?: string): Promise<void>;
}

export class ProcessEnd {
  #signals = 0;
  #exited = false;

  constructor(
    private readonly app: ClosableApp,
    private readonly drain: Pick<Drain, 'run' | 'hurry'>,
    private readonly logger: Pick<Log, 'info' | 'warn' | 'error'>,
    private readonly options: ProcessEndOptions,
    private readonly proc: EndableProcess = process,
    private readonly after: After = systemAfter,
  ) {}

  install(): void {
    const onSignal = (signal: 'SIGTERM' | 'SIGINT') => void this.#onSignal(signal);
    this.proc.on('SIGTERM', onSignal);
    this.proc.on('SIGINT', onSignal);
  }

  async #onSignal(signal: 'SIGTERM' | 'SIGINT'): Promise<void> {
    this.#signals += 1;
    if (this.#signals === 1) {
      const code = await this.#close(signal, this.options.closeWithinMs);
      // After a second signal the exit code names that signal.
      if (this.#signals === 1) this.#exit(code);
      return;
    }
    const code = 128 + constants.signals[signal];
    if (this.#signals > 2) return this.proc.exit(code);
    this.logger.warn({ signal }, 'second signal received, ending at once');
    this.drain.hurry();
    await this.#close(signal, this.options.hurryWithinMs);
    this.#exit(code);
  }

  /** Closes the app. A second call waits for the same close, which Nest keeps. */
  async #close(signal: string, ms: number): Promise<number> {
    try {
      const closed = await withDeadline(this.app.close(signal), ms, this.after);
      if (!closed) {
        this.logger.error({ limit_ms: ms }, 'shutdown timed out');
        return 1;
      }
      return (await this.drain.run()) === 'finished' ? 0 : 1;
    } catch (thrown) {
      this.logger.error({ err: thrown }, 'shutdown failed');
      return 1;
    }
  }

  /** Logs and exits. The log writes synchronously, so the last line is written before the exit. */
  #exit(code: number): void {
    if (this.#exited) return;
    this.#exited = true;
    this.logger.info({ code }, 'server exited');
    this.proc.exit(code);
  }
}
