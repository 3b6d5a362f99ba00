/*
 * Writes the audit log: one line of JSON for each operation. Bounds the lines about refusals, which
 * callers without a credential can cause: beyond the bound they are counted in one line.
 */

import { SluiceError } from '../domain/errors.js';
import { callerKey } from '../domain/principal.js';
import { systemTime, type Time } from '../domain/time.js';
import { type Audit, type AuditEntry, auditFields } from './audit.js';

export interface AuditLogOptions {
  /** Takes a finished line. */
  readonly write: (line: string) => void;
  /** Fields of every line. */
  readonly base: Readonly<Record<string, string>>;
  /** Removes secrets from a line. */
  readonly scrub: (line: string) => string;
  /**
   * Lines about refusals in a minute: of all callers without a valid credential together, and of
   * each other caller.
   */
  readonly refusalsPerMinute: number;
  readonly time?: Time;
}

const MINUTE_MS = 60_000;
/** How long refusals beyond the bound are counted before a line reports them. */
const SUMMARY_AFTER_MS = 10_000;
/** Most callers whose refusals are counted apart. */
const SENDERS_MAX = 10_000;
/** All callers without a valid credential. */
const UNKNOWN = '';

export class AuditLog implements Audit {
  readonly #options: AuditLogOptions;
  readonly #time: Time;
  /** When the bucket of each sender is full again, ordered by last use. */
  readonly #fullAt = new Map<string, number>();
  /** Refusals that were not written, by error code. */
  #omitted = new Map<string, number>();
  #cancelSummary: () => void = () => undefined;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  write(entry: AuditEntry): void {
    const { outcome, caller } = entry;
    if (outcome instanceof SluiceError && !this.#takes(caller === undefined ? UNKNOWN : callerKey(caller))) {
      this.#omit(outcome.code);
      return;
    }
    this.#line(auditFields(entry));
  }

  /** Writes what was counted and not written yet. */
  close(): void {
    this.#cancelSummary();
    this.#summarize();
  }

  /** Takes a line from the bucket of a sender. @returns false if it is empty */
  #takes(sender: string): boolean {
    const now = this.#time.now();
    const cost = MINUTE_MS / this.#options.refusalsPerMinute;
    const fullAt = Math.max(now, this.#fullAt.get(sender) ?? now) + cost;
    // Allow for rounding, so that the last line of a bucket is written.
    if (fullAt - now > MINUTE_MS + 1e-6) return false;
    this.#fullAt.delete(sender);
    this.#fullAt.set(sender, fullAt);
    for (const [key, at] of this.#fullAt) {
      if (at > now && this.#fullAt.size <= SENDERS_MAX) break;
      this.#fullAt.delete(key);
    }
    return true;
  }

  #omit(code: string): void {
    if (this.#omitted.size === 0) {
      this.#cancelSummary = this.#time.after(SUMMARY_AFTER_MS, () => this.#summarize());
    }
    this.#omitted.set(code, (this.#omitted.get(code) ?? 0) + 1);
  }

  #summarize(): void {
    const omitted = this.#omitted;
    if (omitted.size === 0) return;
    this.#omitted = new Map();
    const lines = [...omitted.values()].reduce((sum, count) => sum + count, 0);
    this.#line({ event: 'refused', outcome: 'refused', omitted: lines, errors: Object.fromEntries(omitted) });
  }

  #line(fields: Readonly<Record<string, unknown>>): void {
    const { write, scrub, base } = this.#options;
    const time = new Date(this.#time.date()).toISOString();
    write(scrub(`${JSON.stringify({ stream: 'audit', time, ...base, ...fields })}\n`));
  }
}
