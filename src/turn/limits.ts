/*
 * What one caller may use: turns and tokens a minute, turns at once, money a day. Taken before a turn starts, settled when it has
 * ended and what it used is known. Requests, tokens and money are counted over all replicas; turns at once, and what a turn used
 * beyond what was left, by each replica for itself.
 */

import { SluiceError } from '../domain/errors.js';
import { isKnownItem } from '../domain/item.js';
import { type BucketState, type RateLimiter } from '../state/rate-limiter.js';
import { type TurnPlan } from './admission.js';
import { callerKey } from './caller-key.js';
import { itemBytes } from './input-size.js';
import { SpendingLimit } from './spending-limit.js';
import { type TurnFacts } from './turn.js';

export interface LimitSettings {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  /** Waiting ones included. */
  readonly concurrentTurns: number | null;
  readonly costPerDayUsd: number | null;
}

export interface LimitState {
  readonly limit: number;
  readonly remaining: number;
  /** When all of it is there again, in milliseconds from now. */
  readonly resetMs: number;
}

/** What a caller is told of its limits; absent where there is none. */
export interface ToldLimits {
  readonly requests?: LimitState;
  readonly tokens?: LimitState;
}

/** What a turn has used, as its facts tell it. */
type Spent = Pick<TurnFacts, 'usage' | 'costUsd' | 'providerCalled'>;

/** A refusal that tells the limits, like the answers that were let in. */
export class LimitRefusal extends SluiceError {
  readonly told: ToldLimits;

  constructor(why: string, told: ToldLimits, retryAfterMs: number) {
    super('rate_limit_exceeded', `unable to start a turn; ${why}`, { retryAfterMs });
    this.told = told;
  }
}

/** The right of one turn to run. Each method may be called again without effect. */
export interface TurnPermit {
  readonly told: ToldLimits;
  /** It asks for nothing more: another may take its place. */
  leave(): void;
  /** Leaves, and counts what was used in the place of what was expected. */
  settle(spent: Spent): Promise<void>;
  /** It never began: nothing was used. */
  giveBack(): Promise<void>;
}

const MINUTE_S = 60;
const DAY_S = 86_400;
const MICROS_PER_USD = 1_000_000;
/** Where nothing says how long an answer will be. */
const EXPECTED_OUTPUT_TOKENS = 1_000;
const BYTES_PER_TOKEN = 4;
const TOKENS_PER_MESSAGE = 4;
const CONCURRENCY_RETRY_MS = 1_000;

export class TurnLimits {
  readonly #settings: LimitSettings;
  readonly #limiter: RateLimiter;
  readonly #tokens: SpendingLimit | null;
  readonly #micros: SpendingLimit | null;
  readonly #running = new Map<string, number>();

  constructor(limiter: RateLimiter, settings: LimitSettings) {
    const { tokensPerMinute: tokens, costPerDayUsd: usd } = settings;
    this.#settings = settings;
    this.#limiter = limiter;
    this.#tokens = tokens === null ? null : new SpendingLimit(limiter, 'tokens', tokens, MINUTE_S);
    this.#micros = usd === null ? null : new SpendingLimit(limiter, 'cost', Math.round(usd * MICROS_PER_USD), DAY_S);
  }

  /** @throws LimitRefusal; whatever was taken until then is given back */
  async take(
    plan: Pick<TurnPlan, 'caller' | 'system' | 'request' | 'source' | 'maxOutputTokens'>,
  ): Promise<TurnPermit> {
    const who = callerKey(plan.caller);
    const told: { requests?: LimitState; tokens?: LimitState } = {};
    const undo: (() => Promise<unknown>)[] = [];
    const leave = this.#enter(who);
    try {
      undo.push(await this.#takeRequest(who, told));
      const tokens = await this.#takeTokens(who, plan, told);
      undo.push(() => tokens(0));
      const cost = await this.#takeCost(who, told);
      undo.push(() => cost(0));
      return permit(told, leave, undo, ({ usage, costUsd, providerCalled }) => [
        tokens(usage?.total_tokens ?? (providerCalled ? null : 0)),
        cost(costUsd === null ? 0 : Math.ceil(costUsd * MICROS_PER_USD)),
      ]);
    } catch (refusal) {
      leave();
      // What cannot be given back now refills by itself: the caller is told why it was refused all the same.
      await Promise.allSettled(undo.map((one) => one()));
      throw refusal;
    }
  }

  /** Takes a place among the caller's running turns. */
  #enter(who: string): () => void {
    const most = this.#settings.concurrentTurns;
    if (most === null) return () => undefined;
    const running = this.#running.get(who) ?? 0;
    if (running >= most) {
      const why = `${most} of this caller run already, which is its limit; send it when one has ended`;
      throw new LimitRefusal(why, {}, CONCURRENCY_RETRY_MS);
    }
    this.#running.set(who, running + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const others = (this.#running.get(who) ?? 1) - 1;
      if (others > 0) this.#running.set(who, others);
      else this.#running.delete(who);
    };
  }

  async #takeRequest(who: string, told: { requests?: LimitState }): Promise<() => Promise<unknown>> {
    const limit = this.#settings.requestsPerMinute;
    if (limit === null) return () => Promise.resolve();
    const bucket = { key: `limit:requests:${who}`, capacity: limit, refillPerSecond: limit / MINUTE_S };
    const state = await this.#limiter.take(bucket, 1);
    told.requests = stateOf(limit, state);
    if (!state.allowed) throw usedUp(`${limit} requests a minute`, told, state);
    return () => this.#limiter.take(bucket, -1);
  }

  /** Resolves to what settles the tokens; null: they keep counting as expected. */
  async #takeTokens(
    who: string,
    plan: Pick<TurnPlan, 'system' | 'request' | 'source' | 'maxOutputTokens'>,
    told: { tokens?: LimitState },
  ): Promise<(used: number | null) => Promise<void>> {
    const limit = this.#tokens;
    if (limit === null) return () => Promise.resolve();
    const { state, reserved } = await limit.reserve(who, expectedTokens(plan));
    told.tokens = stateOf(limit.capacity, state);
    if (!state.allowed) throw usedUp(`${limit.capacity} tokens a minute`, told, state);
    return (used) => limit.settle(who, reserved, used ?? reserved);
  }

  /** What a turn will cost is not known before it has: something must be left. */
  async #takeCost(who: string, told: ToldLimits): Promise<(micros: number) => Promise<void>> {
    const limit = this.#micros;
    if (limit === null) return () => Promise.resolve();
    const { state, reserved } = await limit.reserve(who, 1);
    if (!state.allowed) throw usedUp(`${this.#settings.costPerDayUsd ?? 0} US dollars a day`, told, state);
    return (micros) => limit.settle(who, reserved, micros);
  }
}

function permit(
  told: ToldLimits,
  leave: () => void,
  undo: readonly (() => Promise<unknown>)[],
  settling: (spent: Spent) => readonly Promise<void>[],
): TurnPermit {
  let over = false;
  const end = async (work: () => readonly Promise<unknown>[]): Promise<void> => {
    leave();
    if (over) return;
    over = true;
    await Promise.all(work());
  };
  return {
    told,
    leave,
    settle: (spent) => end(() => settling(spent)),
    giveBack: () => end(() => undo.map((one) => one())),
  };
}

function stateOf(limit: number, { remaining, resetMs }: BucketState): LimitState {
  return { limit, remaining, resetMs };
}

function usedUp(limit: string, told: ToldLimits, { retryAfterMs }: BucketState): LimitRefusal {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new LimitRefusal(`the limit of ${limit} is used up; try again in ${seconds} s`, told, retryAfterMs);
}

/** A rough count, cheap enough for every request: it is settled when the turn has ended. */
function expectedTokens(plan: Pick<TurnPlan, 'system' | 'request' | 'source' | 'maxOutputTokens'>): number {
  const { system, request, source, maxOutputTokens } = plan;
  const past = source.kind === 'previous' ? source.context.map((stored) => stored.item) : [];
  let bytes = Buffer.byteLength(system) + (request.tools === undefined ? 0 : JSON.stringify(request.tools).length);
  for (const item of [...past.filter(isKnownItem), ...request.input]) bytes += itemBytes(item);
  const messages = past.length + request.input.length + 1;
  const output = Math.min(maxOutputTokens ?? EXPECTED_OUTPUT_TOKENS, EXPECTED_OUTPUT_TOKENS);
  return Math.ceil(bytes / BYTES_PER_TOKEN) + messages * TOKENS_PER_MESSAGE + output;
}
