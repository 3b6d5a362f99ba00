/*
 * Signals and exit codes. The first SIGTERM or SIGINT closes the app gracefully: 0 when every turn ended by itself, 1 when
 * some were cut short. A second one hurries: what runs is ended at once, and the code says the signal (130, 143).
 *
 * Nest's enableShutdownHooks is not used: it ignores a second signal, has no deadline, and ends with 0 (or by the signal)
 * whatever happened. The hooks themselves are Nest's: app.close() runs them all, in its order.
 */

import { constants } from 'node:os';
import { type Log } from '../observability/log.js';
import { type Drain } from './drain.js';
import { type After, systemAfter, within } from './within.js';

export interface ProcessEndOptions {
  /** From the first signal: a close that takes longer is given up. */
  readonly closeWithinMs: number;
  /** The same from the second signal. */
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
      // A hurried end is told by the signal that hurried it.
      if (this.#signals === 1) this.#exit(code);
      return;
    }
    const code = 128 + constants.signals[signal];
    if (this.#signals > 2) return this.proc.exit(code);
    this.logger.warn({ signal }, 'second signal, ending at once');
    this.drain.hurry();
    await this.#close(signal, this.options.hurryWithinMs);
    this.#exit(code);
  }

  /** Closing twice is waiting for the same close: Nest keeps one. */
  async #close(signal: string, ms: number): Promise<number> {
    try {
      const closed = await within(this.app.close(signal), ms, this.after);
      if (!closed) {
        this.logger.error({ limit_ms: ms }, 'shutdown took too long');
        return 1;
      }
      return (await this.drain.run()) === 'finished' ? 0 : 1;
    } catch (thrown) {
      this.logger.error({ err: thrown }, 'shutdown failed');
      return 1;
    }
  }

  /** The log writes synchronously, so its last line is out before the end. */
  #exit(code: number): void {
    if (this.#exited) return;
    this.#exited = true;
    this.logger.info({ code }, 'server exited');
    this.proc.exit(code);
  }
}
