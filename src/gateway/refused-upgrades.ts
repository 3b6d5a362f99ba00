/*
 * Logs refused upgrades, because no other log line names their callers. Writes one line in ten
 * seconds for each error code: clients that reconnect at once would fill the log.
 */

import { type ErrorCode, type SluiceError } from '../domain/errors.js';
import { shownAddress } from '../domain/network.js';
import { systemTime, type Time } from '../domain/time.js';
import { type Log } from '../observability/log.js';
import { RareLine } from '../observability/rare-line.js';
import { ConnectionRefusal } from '../turn/connection-limits.js';

const LINE_EVERY_MS = 10_000;

export class RefusedUpgrades {
  /** By code, of which there are few. */
  readonly #lines = new Map<ErrorCode, RareLine>();

  constructor(
    private readonly logger: Pick<Log, 'warn'>,
    private readonly time: Time = systemTime,
  ) {}

  /**
   * Counts a refusal.
   * @param address the client's address; empty if its socket is already closed
   */
  add(error: SluiceError, address: string): void {
    const { code } = error;
    const line = this.#lines.get(code) ?? new RareLine(LINE_EVERY_MS, this.time);
    this.#lines.set(code, line);
    const refusals = line.count();
    if (refusals === undefined) return;
    const limited = error instanceof ConnectionRefusal ? { limit: error.limit, caller: error.caller } : {};
    const fields = { error: code, address: shownAddress(address), ...limited, refusals };
    this.logger.warn(fields, 'connection refused');
  }
}
