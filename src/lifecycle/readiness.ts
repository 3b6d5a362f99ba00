/*
 * May this replica be given work? Asks Terminus, with three indicators of our own: draining, the state store, overload.
 * The provider is never asked: its outage is no reason to send chats to another replica that has the same one.
 */

import { ServiceUnavailableException } from '@nestjs/common';
import { type HealthCheckService, type HealthIndicatorService } from '@nestjs/terminus';
import { type DrainState } from '../turn/drain-state.js';

export interface StateProbe {
  /** Resolves when the state store answers; rejects, or stays silent, when it does not. */
  ping(): Promise<void>;
}

export interface OverloadProbe {
  /** True while more work would only make everybody wait. */
  readonly overloaded: boolean;
  /** The figures behind it, for the one who looks. */
  figures(): Readonly<Record<string, number>>;
}

type UnreadyReason = 'draining' | 'state store unavailable' | 'overloaded';

export type ReadinessReport =
  | { readonly status: 'ready' }
  | {
      readonly status: 'not ready';
      readonly reason: UnreadyReason;
      readonly details: Readonly<Record<string, unknown>>;
    };

export interface ReadinessOptions {
  /** A state store that has not answered by then counts as gone. */
  readonly statePingTimeoutMs: number;
}

/** In this order: the first one that is down is the reason given. */
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
    try {
      await this.health.check([
        () => (this.drain.draining ? this.indicators.check('draining').down() : this.indicators.check('draining').up()),
        this.indicators
          .check('state')
          .attempt(() => this.#pingState())
          .withTimeout(this.options.statePingTimeoutMs),
        () => this.#load(),
      ]);
      return { status: 'ready' };
    } catch (thrown) {
      if (!(thrown instanceof ServiceUnavailableException)) throw thrown;
      return notReady(thrown);
    }
  }

  /** What a driver says of its failure may name users and passwords; its code does not. */
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
  // Nothing is down, yet Terminus refuses: it has seen the shutdown hook.
  return { status: 'not ready', reason: reason ?? 'draining', details };
}
