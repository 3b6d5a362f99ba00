/*
 * Computes the usage and the cost of a turn, from what its provider reported or from an estimate.
 */

import { type Usage, ZERO_USAGE } from '../domain/response.js';
import { type CountedRequest } from '../provider/estimate-usage.js';
import { type ProviderRequest } from '../provider/provider.js';
import { TurnStopped } from './outcome.js';
import { providerRequest } from './turn-context.js';
import { type Turn } from './turn.js';

export interface Accounting {
  /**
   * Estimates the usage of a call for which the provider reported none. `withinMs` bounds the exact
   * count, in milliseconds; after it the estimate is rougher.
   */
  readonly estimate: (
    request: CountedRequest,
    produced: string,
    reasoned?: string,
    withinMs?: number,
  ) => Promise<Usage>;
  /**
   * Returns the cost in US dollars, or null if the price is unknown. Without a provider name, the
   * prices of the first provider apply.
   */
  readonly cost: (model: string, usage: Usage, provider: string | null) => number | null;
}

/**
 * Milliseconds that the exact counts of a turn may take if a drain ends the turn. The first count
 * loads the tokenizer, and a drain counts all its turns at once. Waiting longer would use up the
 * time for the terminal events.
 */
const COUNT_IN_DRAIN_MS = 400;

/** Sets usage and cost in the facts of a turn. */
export async function account(
  turn: Pick<Turn, 'plan' | 'facts' | 'stop' | 'time'>,
  accounting: Accounting,
): Promise<void> {
  const { plan, facts, time } = turn;
  const countUntil = isDrained(turn) ? time.now() + COUNT_IN_DRAIN_MS : undefined;
  const estimate = (produced: string, reasoned?: string): Promise<Usage> => {
    const withinMs = countUntil === undefined ? undefined : Math.max(0, countUntil - time.now());
    return accounting.estimate(sent(), produced, reasoned, withinMs);
  };
  const sent = (): ProviderRequest => providerRequest(plan, facts.context?.items ?? plan.request.input);
  if (facts.usage === null && facts.provider !== null) {
    facts.usage = await estimate(facts.produced, facts.reasoned + facts.summarized);
    facts.usageEstimated = true;
  }
  if (facts.usage !== null && facts.providerCalled) {
    facts.costUsd = accounting.cost(facts.model, facts.usage, facts.provider);
  }
  if (facts.summaryCall !== null) {
    const { usage, model, provider } = facts.summaryCall;
    const cost = accounting.cost(model, usage, provider);
    if (cost !== null) facts.costUsd = (facts.costUsd ?? 0) + cost;
    facts.usage = sumOf(facts.usage ?? ZERO_USAGE, usage);
  }
  for (const { provider, model } of facts.lost) {
    // The output of an overtaken call is unknown. The provider has read its input, so count that: a
    // budget must include it.
    const cost = accounting.cost(model, await estimate(''), provider);
    if (cost !== null) facts.costUsd = (facts.costUsd ?? 0) + cost;
  }
}

/** Whether a drain ended the turn. A cancel and a lost log stop a turn with another outcome. */
function isDrained({ stop }: Pick<Turn, 'stop'>): boolean {
  const reason: unknown = stop.signal.reason;
  return reason instanceof TurnStopped && reason.outcome !== 'lost' && reason.outcome.end === 'failed';
}

function sumOf(a: Usage, b: Usage): Usage {
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    input_tokens_details: {
      cached_tokens: a.input_tokens_details.cached_tokens + b.input_tokens_details.cached_tokens,
      cache_write_tokens: a.input_tokens_details.cache_write_tokens + b.input_tokens_details.cache_write_tokens,
    },
    output_tokens: a.output_tokens + b.output_tokens,
    output_tokens_details: {
      reasoning_tokens: a.output_tokens_details.reasoning_tokens + b.output_tokens_details.reasoning_tokens,
    },
    total_tokens: a.total_tokens + b.total_tokens,
  };
}
