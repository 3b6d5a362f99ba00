/*
 * The limits of one caller: requests and tokens per minute, concurrent turns, cost per day. A turn
 * reserves before it starts and settles at its end, when its usage is known. Requests, tokens and
 * cost are counted over all replicas, concurrent turns by each replica for itself.
 */

import { SluiceError } from '../domain/errors.js';
import { type Usage } from '../domain/response.js';
import { type Reservation } from '../state/event-log.js';
import { type BucketState, type RateLimiter } from '../state/rate-limiter.js';
import { callerKey } from '../domain/principal.js';
import { expectedUse, type ExpectedUse, type PlannedUse } from './expected-use.js';
import { SpendingLimit } from './spending-limit.js';
import { type TurnFacts } from './turn.js';

/** The limits of the callers of one class, or of those without one. */
export interface LimitSettings {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  /** Including turns that wait for their conversation. */
  readonly concurrentTurns: number | null;
  readonly costPerDayUsd: number | null;
}

/** Limits by the name of their class. A caller of an unknown class has those of no class. */
export type LimitClasses = Readonly<Record<string, LimitSettings>>;

/** The limits of one class, with their buckets. */
interface Limits {
  readonly settings: LimitSettings;
  readonly tokens: SpendingLimit | null;
  readonly micros: SpendingLimit | null;
}

/** Returns the cost of `usage` in US dollars, or null if the price of the model is unknown. */
export type CostEstimate = (model: string, usage: Usage) => number | null;

export interface LimitState {
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds from now until the limit is full again. */
  readonly resetMs: number;
}

/** State of the limits that apply to a caller. A limit that is not configured is absent. */
export interface LimitStates {
  readonly requests?: LimitState;
  readonly tokens?: LimitState;
}

/** What a turn has used. */
export type Spent = Pick<TurnFacts, 'usage' | 'costUsd' | 'provider'>;

/** A refusal that carries the state of the limits, as the answers of admitted turns do. */
export class LimitRefusal extends SluiceError {
  readonly limits: LimitStates;

  constructor(why: string, limits: LimitStates, retryAfterMs: number) {
    super('rate_limit_exceeded', `unable to start a turn; ${why}`, { retryAfterMs });
    this.limits = limits;
  }
}

/** The permit of one turn to run. Repeated calls of a method have no effect. */
export interface TurnPermit {
  readonly limits: LimitStates;
  /**
   * The reservation, stored with the turn so that another replica can settle it. Undefined if
   * nothing was reserved.
   */
  readonly reserved: Reservation | undefined;
  /** Releases the place among the caller's concurrent turns. */
  leave(): void;
  /** Leaves, and replaces the reservation by what was used. */
  settle(spent: Spent): Promise<void>;
  /** Leaves without settling: the replica that ends the turn settles. */
  handOver(): void;
  /**
   * Leaves and refunds the reservation, because the turn never began.
   * @param unsettled resolves to false if another replica settles the turn; then nothing is
   * refunded here
   */
  giveBack(unsettled?: Promise<boolean>): Promise<void>;
}

const MINUTE_S = 60;
const DAY_S = 86_400;
const MICROS_PER_USD = 1_000_000;
const CONCURRENCY_RETRY_MS = 1_000;

type MutableLimitStates = { -readonly [Kind in keyof LimitStates]: LimitStates[Kind] };

export class TurnLimits {
  readonly #limiter: RateLimiter;
  readonly #cost: CostEstimate;
  readonly #usual: Limits;
  readonly #classes: ReadonlyMap<string, Limits>;
  readonly #running = new Map<string, number>();

  /** @param cost estimates the cost of a turn before it begins */
  constructor(limiter: RateLimiter, settings: LimitSettings, cost: CostEstimate, classes: LimitClasses = {}) {
    this.#limiter = limiter;
    this.#cost = cost;
    this.#usual = limitsOf(limiter, settings);
    this.#classes = new Map(Object.entries(classes).map(([name, own]) => [name, limitsOf(limiter, own)]));
  }

  /** Takes the permit of a turn. @throws LimitRefusal; what was taken until then is refunded */
  async take(plan: PlannedUse): Promise<TurnPermit> {
    const caller = callerKey(plan.caller);
    const { limitsClass } = plan.caller;
    const own = this.#limitsOf(limitsClass);
    const limits: MutableLimitStates = {};
    const undo: (() => Promise<unknown>)[] = [];
    const leave = this.#enter(caller, own.settings.concurrentTurns);
    try {
      undo.push(await this.#takeRequest(caller, own.settings.requestsPerMinute, limits));
      if (own.tokens === null && own.micros === null) {
        return permit(limits, undefined, leave, undo, () => Promise.resolve());
      }
      const expected = expectedUse(plan);
      const tokens = await takeTokens(caller, own.tokens, expected, limits);
      undo.push(async () => recordTokens(own.tokens, limits, await own.tokens?.settle(caller, tokens, 0)));
      const costMicros = await this.#takeCost(caller, own, plan.model, expected, limits);
      const held: Reservation = {
        caller,
        tokens,
        inputTokens: expected.usage.input_tokens,
        costMicros,
        ...(limitsClass === null ? {} : { limitsClass }),
      };
      undo.push(async () => own.micros?.settle(caller, costMicros, 0));
      return permit(limits, held, leave, undo, (spent) => this.settle(held, spent));
    } catch (refusal) {
      leave();
      // Refund before throwing, so that the refusal reports the remaining budget. If a refund
      // fails, the bucket refills with time.
      await Promise.allSettled(undo.map((one) => one()));
      throw refusal;
    }
  }

  /**
   * Replaces the reservation of a turn by what it used. The reservation may come from another
   * replica. A turn that reached no provider used nothing. If a provider was reached and its usage
   * is unknown, the reservation counts.
   */
  async settle(held: Reservation, { usage, costUsd, provider }: Spent): Promise<void> {
    const { caller, tokens, costMicros } = held;
    const own = this.#limitsOf(held.limitsClass ?? null);
    const uncounted = usage === null && provider !== null;
    const usedMicros = uncounted ? costMicros : costUsd === null ? 0 : Math.ceil(costUsd * MICROS_PER_USD);
    await Promise.all([
      own.tokens?.settle(caller, tokens, uncounted ? tokens : (usage?.total_tokens ?? 0)),
      own.micros?.settle(caller, costMicros, usedMicros),
    ]);
  }

  #limitsOf(limitsClass: string | null): Limits {
    return (limitsClass === null ? undefined : this.#classes.get(limitsClass)) ?? this.#usual;
  }

  /** Takes a place among the caller's concurrent turns. */
  #enter(caller: string, most: number | null): () => void {
    if (most === null) return () => undefined;
    const running = this.#running.get(caller) ?? 0;
    if (running >= most) {
      const why = `${most} turns of this caller are running, which is the limit; try again when one has ended`;
      throw new LimitRefusal(why, {}, CONCURRENCY_RETRY_MS);
    }
    this.#running.set(caller, running + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const others = (this.#running.get(caller) ?? 1) - 1;
      if (others > 0) this.#running.set(caller, others);
      else this.#running.delete(caller);
    };
  }

  async #takeRequest(
    caller: string,
    limit: number | null,
    limits: MutableLimitStates,
  ): Promise<() => Promise<unknown>> {
    if (limit === null) return () => Promise.resolve();
    const bucket = { key: `limit:requests:${caller}`, capacity: limit, refillPerSecond: limit / MINUTE_S };
    const state = await this.#limiter.take(bucket, 1);
    limits.requests = stateOf(limit, state);
    if (!state.allowed) throw usedUp(`${limit} requests a minute`, limits, state);
    return async () => (limits.requests = stateOf(limit, await this.#limiter.charge(bucket, -1)));
  }

  /**
   * @returns the reserved amount in millionths of a US dollar, at least 1, so that a used-up budget
   * admits no turn
   */
  async #takeCost(
    caller: string,
    { micros: limit, settings }: Limits,
    model: string,
    { usage }: ExpectedUse,
    limits: MutableLimitStates,
  ): Promise<number> {
    if (limit === null) return 0;
    const cost = this.#cost(model, usage) ?? 0;
    const { state, reserved } = await limit.reserve(caller, Math.max(1, Math.ceil(cost * MICROS_PER_USD)));
    if (!state.allowed) throw usedUp(`${settings.costPerDayUsd ?? 0} US dollars a day`, limits, state);
    return reserved;
  }
}

function limitsOf(limiter: RateLimiter, settings: LimitSettings): Limits {
  const { tokensPerMinute: tokens, costPerDayUsd: usd } = settings;
  return {
    settings,
    tokens: tokens === null ? null : new SpendingLimit(limiter, 'tokens', tokens, MINUTE_S),
    micros: usd === null ? null : new SpendingLimit(limiter, 'cost', Math.round(usd * MICROS_PER_USD), DAY_S),
  };
}

/** @returns the number of reserved tokens */
async function takeTokens(
  caller: string,
  limit: SpendingLimit | null,
  expected: ExpectedUse,
  limits: MutableLimitStates,
): Promise<number> {
  if (limit === null) return 0;
  const { state, reserved } = await limit.reserve(caller, expected.tokens);
  recordTokens(limit, limits, state);
  if (!state.allowed) throw usedUp(`${limit.capacity} tokens a minute`, limits, state);
  return reserved;
}

function recordTokens(limit: SpendingLimit | null, limits: MutableLimitStates, state: BucketState | undefined): void {
  if (limit !== null && state !== undefined) limits.tokens = stateOf(limit.capacity, state);
}

function permit(
  limits: LimitStates,
  reserved: Reservation | undefined,
  leave: () => void,
  undo: readonly (() => Promise<unknown>)[],
  settling: (spent: Spent) => Promise<void>,
): TurnPermit {
  let over = false;
  const end = async (work: () => Promise<unknown>): Promise<void> => {
    leave();
    if (over) return;
    over = true;
    await work();
  };
  return {
    limits,
    reserved,
    leave,
    settle: (spent) => end(() => settling(spent)),
    handOver: () => void end(() => Promise.resolve()),
    giveBack: (unsettled) =>
      end(async () => {
        if ((await unsettled) !== false) await Promise.all(undo.map((one) => one()));
      }),
  };
}

function stateOf(limit: number, { remaining, resetMs }: BucketState): LimitState {
  return { limit, remaining, resetMs };
}

function usedUp(limit: string, limits: LimitStates, { retryAfterMs }: BucketState): LimitRefusal {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new LimitRefusal(`the limit of ${limit} is used up; try again in ${seconds} s`, limits, retryAfterMs);
}
