/* The context of a turn, and the items that it stores in its conversation at its end. */

import { contextFor, strayOutput } from '../domain/context.js';
import { SluiceError } from '../domain/errors.js';
import {
  isKnownItem,
  type Item,
  type ItemBounds,
  newestWithin,
  type StoredItem,
  worthKeeping,
} from '../domain/item.js';
import { type Kept, type ResponseObject, type StoredResponse } from '../domain/response.js';
import { type ProviderRequest } from '../provider/provider.js';
import { type ConversationExit } from '../state/conversation-exit.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type Fence } from '../state/event-log.js';
import { type TurnPlan } from './admission.js';
import { type Journal } from './journal.js';
import { withoutLogprobs } from './answer-logprobs.js';
import { contextAfter, refuseStrayOutput, refuseUnreachable } from './context-source.js';
import { asSummaryRequest } from './summary-request.js';
import { type SummarySeal } from './summary-seal.js';
import { samplingOf, sentTools } from './prompt-tools.js';
import { classOf } from './caller-rules.js';

export interface ContextOptions {
  /** Reads the summaries of compacted context. */
  readonly seal: Pick<SummarySeal, 'messageOf' | 'readable'>;
  readonly exit: ConversationExit;
  /** Maximum number of items sent to the provider. */
  readonly windowItems: number;
  /** Bounds of a conversation, and of the context of a stored response. */
  readonly kept: ItemBounds;
}

/** A turn that leaves its conversation. */
interface Leaver {
  readonly responseId: string;
  readonly fence: Fence;
  readonly journal: Pick<Journal, 'writeBy'>;
}

export interface Context {
  readonly history: readonly StoredItem[];
  /** Items sent to the provider, oldest first. */
  readonly items: readonly Item[];
}

/** The items that a turn stores. */
export interface Keeping {
  readonly kept: Kept;
  readonly items: readonly StoredItem[];
}

/** For a turn that ended before it began. */
export const NOTHING: Keeping = { kept: 'nothing', items: [] };

export interface EndedTurn {
  readonly owner: string;
  readonly limitsClass?: string;
  readonly response: ResponseObject;
  readonly input: readonly StoredItem[];
  readonly left: Keeping;
  readonly terminalSequence: number;
  /** The items before the turn. Null: they are read again. */
  readonly history: readonly StoredItem[] | null;
}

export class TurnContexts {
  readonly #conversations: ConversationStore;
  readonly #responses: ResponseStore;
  readonly #options: ContextOptions;

  constructor(conversations: ConversationStore, responses: ResponseStore, options: ContextOptions) {
    this.#conversations = conversations;
    this.#responses = responses;
    this.#options = options;
  }

  /**
   * Reads the context of a turn.
   * @param input the items of the request
   * @param recent the newest items of its conversation, if they were read as the turn entered it
   * @throws SluiceError `unknown_call_id`, `invalid_value`, `conversation_not_found`,
   * `state_unavailable`
   */
  async contextOf(plan: TurnPlan, input: readonly StoredItem[], recent?: readonly StoredItem[]): Promise<Context> {
    const { owner } = plan.caller;
    const history = await this.#history(plan, recent);
    refuseStrayOutput(history, plan.request.input);
    const items = contextFor(this.#options.seal.readable(owner, history), input, this.#options.windowItems);
    return { history, items: items.flatMap((item) => this.#readable(owner, item)) };
  }

  /** Returns a summary as the message that a provider receives, and other items as they are. */
  #readable(owner: string, item: Item): readonly Item[] {
    if (item.type !== 'compaction') return [item];
    return [this.#options.seal.messageOf(owner, item)];
  }

  /**
   * Writes the events that the journal of a turn holds, appends the turn's items to its
   * conversation and releases its place there. Idempotent by the response's id.
   * @returns like `keepItems`; undefined if the journal is lost
   * @throws like `keepItems`
   */
  async leave({ journal, responseId, fence }: Leaver, { conversation }: ResponseObject, { items }: Keeping) {
    if (conversation === null) return true;
    const leaving = { conversationId: conversation.id, responseId, fence, items };
    const left = await journal.writeBy((events) => this.#options.exit.exit({ ...leaving, events }));
    return left?.outcome === 'appended' ? left.kept : undefined;
  }

  /**
   * Appends the items of an ended turn to its conversation and releases its place there. Idempotent
   * by the response's id.
   * @returns false if the conversation was deleted meanwhile: no item is stored then
   * @throws SluiceError `state_unavailable`; `conversation_busy` if another turn has become the
   * writer
   */
  async keepItems({ conversation, id }: ResponseObject, { items }: Keeping): Promise<boolean> {
    return conversation === null || this.#conversations.appendItems(conversation.id, items, id);
  }

  /**
   * Builds the stored form of an ended response. For a turn in a conversation the context is not
   * copied, so deleting the conversation deletes it.
   * @throws SluiceError `state_unavailable`
   */
  async endOf(ended: EndedTurn): Promise<StoredResponse> {
    const { owner, response, input, left, terminalSequence } = ended;
    const common = { owner, ...classOf(ended.limitsClass), response, input, terminalSequence };
    if (response.conversation !== null) return { ...common, context: [], contextIn: response.conversation.id };
    const history = ended.history ?? (await this.#before(response));
    return { ...common, context: newestWithin([...history, ...left.items], this.#options.kept) };
  }

  /**
   * Stores the end of a response, if the request has `store`. The first end wins. A deleted
   * response is not stored again.
   * @returns the stored response: this one, or the one that was stored before
   * @throws SluiceError `state_unavailable`
   */
  async storeEnd(end: StoredResponse): Promise<ResponseObject> {
    if (!end.response.store) return end.response;
    return (await this.#responses.put(end))?.response ?? end.response;
  }

  /**
   * Stores the items of a turn in its conversation, then its response. Idempotent by the response's
   * id, so that a replica that ends the turn of a lost one can repeat it.
   * @returns the stored response, see `storeEnd`
   * @throws SluiceError `state_unavailable`
   */
  async commit(ended: EndedTurn): Promise<ResponseObject> {
    const { response, left } = ended;
    if (await this.#keepUnlessTaken(response, left)) return this.storeEnd(await this.endOf(ended));
    return this.storeEnd(await this.endOf({ ...ended, response: keepingNothing(response) }));
  }

  /**
   * Stores the items of a turn.
   * @returns false if another turn has taken its place; nothing is stored then
   */
  async #keepUnlessTaken(response: ResponseObject, left: Keeping): Promise<boolean> {
    return this.keepItems(response, left).catch((error: unknown) => {
      if (error instanceof SluiceError && error.code === 'conversation_busy') return false;
      throw error;
    });
  }

  async #history(plan: TurnPlan, recent: readonly StoredItem[] | undefined): Promise<readonly StoredItem[]> {
    const { source } = plan;
    if (source.kind === 'none') return [];
    if (source.kind === 'previous') return source.context;
    if (recent === undefined) await refuseUnreachable(plan.caller, source.id, this.#conversations);
    return this.#recent(source.id, plan.request.input, recent);
  }

  /**
   * Reads the newest items. Reads all items only if the newest contain some that are never sent, or
   * lack the call of an output in the input.
   */
  async #recent(
    id: string,
    input: readonly Item[],
    recent: readonly StoredItem[] | undefined,
  ): Promise<readonly StoredItem[]> {
    const { windowItems, kept } = this.#options;
    const newest = recent ?? (await this.#conversations.recentItems(id, windowItems));
    const enough =
      newest.length < windowItems ||
      (newest.every(({ withheld, item }) => !withheld && isKnownItem(item)) &&
        strayOutput(newest, input) === undefined);
    return enough ? newest : this.#conversations.recentItems(id, kept.maxItems);
  }

  /** Reads the context of a response again, at its end. */
  async #before({ previous_response_id: id }: ResponseObject): Promise<readonly StoredItem[]> {
    const previous = id === null ? undefined : await this.#responses.get(id);
    return previous === undefined ? [] : ((await contextAfter(previous, this.#conversations)) ?? []);
  }
}

/** Returns the response with `kept` set to `nothing`. */
export function keepingNothing(response: ResponseObject): ResponseObject {
  return { ...response, sluice: { ...response.sluice, kept: 'nothing' } };
}

/**
 * Returns the items to store for a turn that ended with this output. Refused input, and images and
 * files that the provider rejected, are stored for display only. An unfinished answer keeps its
 * text but not its unfinished function calls: arguments that do not parse would make the next turn
 * fail.
 * @param hidden reasoning that was not shown
 */
export function keepingOf(
  response: Pick<ResponseObject, 'id' | 'store' | 'conversation' | 'output'>,
  input: readonly StoredItem[],
  inputRefused: boolean,
  hidden = '',
): Keeping {
  const output = response.output.filter(worthKeeping).map(withoutLogprobs);
  const withheld = inputRefused;
  // A provider that reasons between calls needs its reasoning back with the first call of the
  // round.
  const thought = hidden === '' ? undefined : output.find(({ type }) => type === 'function_call');
  const items: StoredItem[] = [
    ...input.map((stored) => ({ ...stored, withheld: withheld || stored.withheld })),
    ...output.map((item) => ({
      item,
      responseId: response.id,
      withheld,
      ...(item === thought ? { reasoning: hidden } : {}),
    })),
  ];
  if (!response.store && response.conversation === null) return { kept: 'nothing', items };
  if (inputRefused) return { kept: 'display_only', items };
  const whole = output.length === response.output.length && output.every((item) => item.status === 'completed');
  if (whole && output.length > 0) return { kept: 'all', items };
  return { kept: output.length > 0 ? 'partial' : 'input', items };
}

/** Builds the provider's request from the plan and its context. */
export function providerRequest(plan: TurnPlan, items: readonly Item[]): ProviderRequest {
  const { request, caller, place } = plan;
  const sampling = samplingOf(plan);
  const toSend: ProviderRequest = {
    model: plan.model,
    system: plan.system,
    items,
    ...(plan.needs === undefined ? {} : { needs: plan.needs }),
    temperature: plan.temperature,
    topP: plan.topP,
    maxOutputTokens: plan.maxOutputTokens,
    ...sentTools(plan, items),
    parallelToolCalls: request.parallelToolCalls ?? true,
    textFormat: request.textFormat ?? { type: 'text' },
    reasoningEffort: request.reasoningEffort ?? null,
    ...(sampling === undefined ? {} : { sampling }),
    ...(request.promptCacheKey === undefined ? {} : { promptCacheKey: request.promptCacheKey }),
    safetyIdentifier: (caller.trusted ? request.safetyIdentifier : undefined) ?? caller.user,
    ...(place === undefined || place.paid === null ? {} : { paid: place.paid }),
  };
  return request.summarize === true ? asSummaryRequest(toSend, items, plan.system) : toSend;
}
