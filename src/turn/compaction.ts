/*
 * Compacts the context of a turn whose request asks for it: when the context passes its threshold,
 * the model first summarizes what is older than the input. The provider then receives the summary
 * and the newer items. The older items stay in the conversation, for people to read.
 */

import { behindSummary, contextFor, strayOutput } from '../domain/context.js';
import { type Item, type ReplacedItems, type StoredItem } from '../domain/item.js';
import { type Usage } from '../domain/response.js';
import { ignoreCloseErrors } from '../provider/stream-opening.js';
import { type Provider, type ProviderRequest } from '../provider/provider.js';
import { type Accounting } from './accounting.js';
import { maskItems } from './mask-items.js';
import { asSummaryRequest, SUMMARY_INSTRUCTIONS } from './summary-request.js';
import { type SummarySeal } from './summary-seal.js';
import { type Context, providerRequest } from './turn-context.js';
import { type TurnGuards } from './turn-guards.js';
import { type Turn } from './turn.js';

export interface CompactionParts {
  readonly seal: Pick<SummarySeal, 'seal' | 'messageOf' | 'readable'>;
  readonly guards: Pick<TurnGuards, 'checkSummary' | 'maskFor'>;
  readonly provider: Provider;
  readonly estimate: Accounting['estimate'];
  /** Maximum number of items sent to the provider. */
  readonly windowItems: number;
}

/** The share of `windowItems` from which on older items would soon be dropped. */
const FULL_SHARE = 3 / 4;
/** Most characters of a summary. */
const LONGEST_SUMMARY = 262_144;

export class Compaction {
  readonly #parts: CompactionParts;

  constructor(parts: CompactionParts) {
    this.#parts = parts;
  }

  /**
   * Compacts the context of a turn if its request asks for it and the context is due. If there is
   * no summary (the call failed, or a guardrail refused it), the context stays whole.
   * @throws TurnStopped if the turn was stopped
   */
  async apply(turn: Turn, context: Context): Promise<Context> {
    const { plan, stop, writer, facts } = turn;
    const threshold = plan.request.compactThreshold;
    if (threshold === undefined) return context;
    const { owner } = plan.caller;
    const { older, kept, replaces } = split(this.#parts.seal.readable(owner, context.history), plan.request.input);
    if (replaces === undefined || !(await this.#isDue(turn, context, threshold))) return context;
    const masked = this.#parts.guards.maskFor(plan.prompt);
    const whole = contextFor(older, [], older.length).map((item) => this.#readable(owner, item));
    const { items } = maskItems(masked, whole, []);
    const { paid: _paid, needs: _needs, ...base } = providerRequest(plan, []);
    let failure: unknown;
    const summary = await this.#summaryOf(turn, asSummaryRequest(base, items, SUMMARY_INSTRUCTIONS)).catch(
      (error: unknown) => {
        failure = error;
        return '';
      },
    );
    stop.signal.throwIfAborted();
    const count = replaces.items;
    facts.compaction = { outcome: 'failed', items: count, error: failure };
    if (summary === '') return context;
    const text = await this.#parts.guards.checkSummary(plan.prompt, summary, { masked, signal: stop.signal });
    stop.signal.throwIfAborted();
    facts.compaction = { outcome: text === undefined || text === '' ? 'refused' : 'compacted', items: count };
    if (text === undefined || text === '') return context;
    const item = writer.compaction(this.#parts.seal.seal(owner, text), replaces);
    const newer = contextFor(kept, turn.input, this.#parts.windowItems - 1);
    return { ...context, items: [item, ...newer].map((one) => this.#readable(owner, one)) };
  }

  async #isDue(turn: Turn, { history, items }: Context, threshold: number): Promise<boolean> {
    const { newer } = behindSummary(history);
    if (newer.length + turn.input.length >= this.#parts.windowItems * FULL_SHARE) return true;
    const { input_tokens: tokens } = await this.#parts.estimate(providerRequest(turn.plan, items), '');
    return tokens > threshold;
  }

  /** Returns the whole text of a summary, or an empty text if it was cut or refused. */
  async #summaryOf({ stop, facts }: Turn, request: ProviderRequest): Promise<string> {
    let text = '';
    let started: { readonly provider: string; readonly model: string } | undefined;
    let usage: Usage | undefined;
    let isWhole = false;
    try {
      for await (const part of ignoreCloseErrors(this.#parts.provider.stream(request, stop.signal))) {
        if (part.type === 'start') started = { provider: part.provider, model: part.model };
        else if (part.type === 'text') text += part.text;
        else if (part.type === 'usage') usage = part.usage;
        else if (part.type === 'finish') isWhole = part.reason === 'stop';
        if (text.length > LONGEST_SUMMARY) break;
      }
    } finally {
      if (started !== undefined) {
        usage ??= await this.#parts.estimate(request, text);
        facts.summaryCall = { ...started, usage };
      }
    }
    return isWhole ? text : '';
  }

  #readable(owner: string, item: Item): Item {
    return item.type === 'compaction' ? this.#parts.seal.messageOf(owner, item) : item;
  }
}

interface Split {
  /** What is summarized: a former summary, and the items behind it. */
  readonly older: readonly StoredItem[];
  /** What the provider receives as it is. */
  readonly kept: readonly StoredItem[];
  /** Undefined if there is nothing to summarize. */
  readonly replaces: ReplacedItems | undefined;
}

/**
 * Splits a history where the summary ends. An input that answers calls of the history continues the
 * round of the last message of the user, whose calls and outputs must stay as they are.
 */
function split(history: readonly StoredItem[], input: readonly Item[]): Split {
  const { summary, newer } = behindSummary(history);
  const continues = strayOutput([], input) !== undefined;
  const end = continues
    ? Math.max(
        0,
        newer.findLastIndex(({ item }) => item.type === 'message' && item.role === 'user'),
      )
    : newer.length;
  const behind = newer.slice(0, end);
  const [first, last] = [behind[0], behind.at(-1)];
  const former = summary?.item.type === 'compaction' ? summary.item.sluice?.replaces : undefined;
  return {
    older: summary === undefined ? behind : [summary, ...behind],
    kept: newer.slice(end),
    replaces:
      first === undefined || last === undefined
        ? undefined
        : {
            first_id: former?.first_id ?? first.item.id,
            last_id: last.item.id,
            items: (former?.items ?? 0) + behind.length,
          },
  };
}
