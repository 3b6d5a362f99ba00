/*
 * The limits of one caller: requests and tokens per minute, concurrent turns, cost per day. A turn
 * reserves before it starts and settles at its end, when its usage is known. Requests, tokens and
 * cost are counted over all replicas, concurrent turns by each replica for itself.
 */

import { SluiceError } from '../domain/errors.js';
import { type Usage } from '../domain/response.js';
import { type Reservation } from '../state/event-log.js';
import { type BucketState, type RateLimiter } from '../state/rate-limiter.js';
import { callerKey } from './caller-key.js';
import { expectedUse, type PlannedUse } from './expected-use.js';
import { SpendingLimit } from './spending-limit.js';
import { type TurnFacts } from './turn.js';

export interface LimitSettings {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  /** Including turns that wait for their conversation. */
  readonly concurrentTurns: number | null;
  readonly costPerDayUsd: number | null;
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
  /** Leaves, and gives the reservation back: the turn never began. */
  giveBack(): Promise<void>;
}

const MINUTE_S = 60;
const DAY_S = 86_400;
const MICROS_PER_USD = 1_000_000;
const CONCURRENCY_RETRY_MS = 1_000;

type MutableLimitStates = { -readonly [Kind in keyof LimitStates]: LimitStates[Kind] };

export class TurnLimits {
  readonly #settings: LimitSettings;
  readonly #limiter: RateLimiter;
  readonly #cost: CostEstimate;
  readonly #tokens: SpendingLimit | null;
  readonly #micros: SpendingLimit | null;
  readonly #running = new Map<string, number>();

  /** @param cost estimates the cost of a turn before it begins */
  constructor(limiter: RateLimiter, settings: LimitSettings, cost: CostEstimate) {
    const { tokensPerMinute: tokens, costPerDayUsd: usd } = settings;
    this.#settings = settings;
    this.#limiter = limiter;
    this.#cost = cost;
    this.#tokens = tokens === null ? null : new SpendingLimit(limiter, 'tokens', tokens, MINUTE_S);
    this.#micros = usd === null ? null : new SpendingLimit(limiter, 'cost', Math.round(usd * MICROS_PER_USD), DAY_S);
  }

  /** Takes the permit of a turn. @throws LimitRefusal; what was taken until then is given back */
  async take(plan: PlannedUse): Promise<TurnPermit> {
    const caller = callerKey(plan.caller);
    const limits: MutableLimitStates = {};
    const undo: (() => Promise<unknown>)[] = [];
    const leave = this.#enter(caller);
    try {
      undo.push(await this.#takeRequest(caller, limits));
      const tokens = await this.#takeTokens(caller, plan, limits);
      undo.push(async () => this.#recordTokens(limits, await this.#tokens?.settle(caller, tokens, 0)));
      const costMicros = await this.#takeCost(caller, plan, limits);
      const held = { caller, tokens, inputTokens: expectedUse(plan).usage.input_tokens, costMicros };
      undo.push(async () => this.#micros?.settle(caller, costMicros, 0));
      const reserved = this.#tokens === null && this.#micros === null ? undefined : held;
      return permit(limits, reserved, leave, undo, (spent) => this.settle(held, spent));
    } catch (refusal) {
      leave();
      // Give back before throwing, so that the refusal reports what is left. What cannot be given
      // back now refills by itself.
      await Promise.allSettled(undo.map((one) => one()));
      throw refusal;
    }
  }

  /**
   * Replaces the reservation of a turn by what it used. The reservation may come from another
   * replica. A turn that reached no provider used nothing. If a provider was reached and its usage
   * is unknown, the reservation counts.
   */
  async settle({ caller, tokens, costMicros }: Reservation, { usage, costUsd, provider }: Spent): Promise<void> {
    const uncounted = usage === null && provider !== null;
    const usedMicros = uncounted ? costMicros : costUsd === null ? 0 : Math.ceil(costUsd * MICROS_PER_USD);
    await Promise.all([
      this.#tokens?.settle(caller, tokens, uncounted ? tokens : (usage?.total_tokens ?? 0)),
      this.#micros?.settle(caller, costMicros, usedMicros),
    ]);
  }

  /** Takes a place among the caller's concurrent turns. */
  #enter(caller: string): () => void {
    const most = this.#settings.concurrentTurns;
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

  async #takeRequest(caller: string, limits: MutableLimitStates): Promise<() => Promise<unknown>> {
    const limit = this.#settings.requestsPerMinute;
    if (limit === null) return () => Promise.resolve();
    const bucket = { key: `limit:requests:${caller}`, capacity: limit, refillPerSecond: limit / MINUTE_S };
    const state = await this.#limiter.take(bucket, 1);
    limits.requests = stateOf(limit, state);
    if (!state.allowed) throw usedUp(`${limit} requests a minute`, limits, state);
    return async () => (limits.requests = stateOf(limit, await this.#limiter.charge(bucket, -1)));
  }

  /** @returns the number of reserved tokens */
  async #takeTokens(caller: string, plan: PlannedUse, limits: MutableLimitStates): Promise<number> {
    const limit = this.#tokens;
    if (limit === null) return 0;
    const { state, reserved } = await limit.reserve(caller, expectedUse(plan).tokens);
    this.#recordTokens(limits, state);
    if (!state.allowed) throw usedUp(`${limit.capacity} tokens a minute`, limits, state);
    return reserved;
  }

  #recordTokens(limits: MutableLimitStates, state: BucketState | undefined): void {
    if (this.#tokens !== null && state !== undefined) limits.tokens = stateOf(this.#tokens.capacity, state);
  }

  /**
   * @returns the reserved amount in millionths of a US dollar, at least 1, so that a used-up budget
   * admits no turn
   */
  async #takeCost(caller: string, plan: PlannedUse, limits: MutableLimitStates): Promise<number> {
    const limit = this.#micros;
    if (limit === null) return 0;
    const expected = this.#cost(plan.model, expectedUse(plan).usage) ?? 0;
    const { state, reserved } = await limit.reserve(caller, Math.max(1, Math.ceil(expected * MICROS_PER_USD)));
    if (!state.allowed) throw usedUp(`${this.#settings.costPerDayUsd ?? 0} US dollars a day`, limits, state);
    return reserved;
  }
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
    giveBack: () => end(() => Promise.all(undo.map((one) => one()))),
  };
}

function stateOf(limit: number, { remaining, resetMs }: BucketState): LimitState {
  return { limit, remaining, resetMs };
}

function usedUp(limit: string, limits: LimitStates, { retryAfterMs }: BucketState): LimitRefusal {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new LimitRefusal(`the limit of ${limit} is used up; try again in ${seconds} s`, limits, retryAfterMs);
}
