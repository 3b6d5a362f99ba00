/*
 * Reports whether this replica may receive work, by Terminus and three indicators: draining, state
 * store, overload. The provider is no indicator: other replicas use the same one, so its outage is
 * no reason to send chats to them.
 */

import { ServiceUnavailableException } from '@nestjs/common';
import { type HealthCheckService, type HealthIndicatorService } from '@nestjs/terminus';
import { type DrainState } from '../turn/drain-state.js';

export interface StateProbe {
  /** Resolves when the state store answers. Rejects or never settles if it does not. */
  ping(): Promise<void>;
}

export interface OverloadProbe {
  /** Whether more work would delay all callers. */
  readonly overloaded: boolean;
  /** Returns the figures behind `overloaded`, for operators. */
  figures(): Readonly<Record<string, number>>;
}

type UnreadyReason = 'draining' | 'state store unavailable' | 'overloaded';

export type ReadinessReport =
  | { readonly status: 'ready'; readonly details?: Readonly<Record<string, unknown>> }
  | {
      readonly status: 'not ready';
      readonly reason: UnreadyReason;
      readonly details: Readonly<Record<string, unknown>>;
    };

export interface ReadinessOptions {
  /** Milliseconds after which a silent state store counts as unavailable. */
  readonly statePingTimeoutMs: number;
  /** Called with each result. */
  readonly onReport?: (ready: boolean) => void;
  /** Returns notes for operators that do not make the replica unready. */
  readonly notes?: () => Readonly<Record<string, unknown>>;
}

/** Indicators in order of precedence: the first one that is down is the reported reason. */
const REASONS = [
  ['draining', 'draining'],
  ['state', 'state store unavailable'],
  ['load', 'overloaded'],
] as const satisfies readonly (readonly [string, UnreadyReason])[];

export class Readiness {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly drain: DrainState,
    private readonly state: StateProbe,
    private readonly overload: OverloadProbe,
    private readonly options: ReadinessOptions,
  ) {}

  async report(): Promise<ReadinessReport> {
    const report = await this.#report();
    this.options.onReport?.(report.status === 'ready');
    return report;
  }

  async #report(): Promise<ReadinessReport> {
    try {
      await this.health.check([
        () => (this.drain.draining ? this.indicators.check('draining').down() : this.indicators.check('draining').up()),
        this.indicators
          .check('state')
          .attempt(() => this.#pingState())
          .withTimeout(this.options.statePingTimeoutMs),
        () => this.#load(),
      ]);
      const notes = this.options.notes?.() ?? {};
      return { status: 'ready', ...(Object.keys(notes).length === 0 ? {} : { details: notes }) };
    } catch (thrown) {
      if (!(thrown instanceof ServiceUnavailableException)) throw thrown;
      return notReady(thrown);
    }
  }

  /**
   * Pings the state store. Reports only the code of a failure: the message of a driver may contain
   * credentials.
   */
  async #pingState(): Promise<void> {
    try {
      await this.state.ping();
    } catch (thrown) {
      const hasCode = typeof thrown === 'object' && thrown !== null && 'code' in thrown;
      const code = hasCode ? ` (${String(thrown.code)})` : '';
      throw new Error(`no answer${code}`, { cause: thrown });
    }
  }

  #load() {
    const indicator = this.indicators.check('load');
    const figures = { ...this.overload.figures() };
    return this.overload.overloaded ? indicator.down(figures) : indicator.up(figures);
  }
}

function notReady(thrown: ServiceUnavailableException): ReadinessReport {
  // Terminus throws its HealthCheckResult inside this exception, typed as anything.
  const { details = {}, error = {} } = thrown.getResponse() as {
    details?: Record<string, unknown>;
    error?: Record<string, unknown>;
  };
  const reason = REASONS.find(([indicator]) => indicator in error)?.[1];
  // No indicator is down, so Terminus refuses because it has seen the shutdown hook.
  return { status: 'not ready', reason: reason ?? 'draining', details };
}
