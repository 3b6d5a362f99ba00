/*
 * Logs refused upgrades, because no other log line names their callers. Writes one line in ten
 * seconds for each error code: clients that reconnect at once would fill the log.
 */

import { type ErrorCode, type SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';
import { type Log } from '../observability/log.js';
import { ConnectionRefusal } from '../turn/connection-limits.js';

const LINE_EVERY_MS = 10_000;

/** The refusals with one code. */
interface RefusedWithCode {
  /** Refusals since the last line. */
  unlogged: number;
  /** When the last line was written, by the monotonic clock. */
  loggedAt: number;
}

export class RefusedUpgrades {
  /** By code, of which there are few. */
  readonly #refusals = new Map<ErrorCode, RefusedWithCode>();

  constructor(
    private readonly logger: Pick<Log, 'warn'>,
    private readonly time: Time = systemTime,
  ) {}

  /** Counts a refusal. @param address the client's address; empty if its socket is already closed */
  add(error: SluiceError, address: string): void {
    const { code } = error;
    const refusals = this.#refusals.get(code) ?? { unlogged: 0, loggedAt: -Infinity };
    this.#refusals.set(code, refusals);
    refusals.unlogged += 1;
    const now = this.time.now();
    if (now - refusals.loggedAt < LINE_EVERY_MS) return;
    const limited = error instanceof ConnectionRefusal ? { limit: error.limit, caller: error.caller } : {};
    const shown = address === '' ? null : address.slice(0, 64);
    const fields = { error: code, address: shown, ...limited, refusals: refusals.unlogged };
    this.logger.warn(fields, 'connection refused');
    refusals.unlogged = 0;
    refusals.loggedAt = now;
  }
}
