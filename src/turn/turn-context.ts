/* What a turn remembers: the context it starts from, and what of it goes into the conversation when it ends. */

import { contextFor, strayOutput } from '../domain/context.js';
import { SluiceError } from '../domain/errors.js';
import {
  isKnownItem,
  type Item,
  type ItemBounds,
  newestWithin,
  type OutputItem,
  type StoredItem,
} from '../domain/item.js';
import { type Kept, type ResponseObject, type StoredResponse } from '../domain/response.js';
import { type ProviderRequest } from '../provider/provider.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { conversationNotFound, refuseStrayOutput, type TurnPlan } from './admission.js';
import { contextAfter } from './continuation.js';

export interface MemoryOptions {
  /** Most items sent to the provider. */
  readonly windowItems: number;
  /** What is kept of a conversation, and as the context of a stored response. */
  readonly kept: ItemBounds;
}

export interface Context {
  readonly history: readonly StoredItem[];
  /** What the provider is sent, oldest first. */
  readonly items: readonly Item[];
}

/** What a turn leaves behind. */
export interface Keeping {
  readonly kept: Kept;
  readonly items: readonly StoredItem[];
}

/** Of a turn that ended before it began. */
export const NOTHING: Keeping = { kept: 'nothing', items: [] };

export interface EndedTurn {
  readonly owner: string;
  readonly response: ResponseObject;
  readonly input: readonly StoredItem[];
  readonly left: Keeping;
  readonly terminalSequence: number;
  /** What it started from, where that is at hand; null: it is read again. */
  readonly history: readonly StoredItem[] | null;
}

export class TurnMemory {
  readonly #conversations: ConversationStore;
  readonly #responses: ResponseStore;
  readonly #options: MemoryOptions;

  constructor(conversations: ConversationStore, responses: ResponseStore, options: MemoryOptions) {
    this.#conversations = conversations;
    this.#responses = responses;
    this.#options = options;
  }

  /**
   * @param input what the turn was asked, with what of it is withheld from the provider
   * @throws SluiceError `unknown_call_id`, `invalid_value`, `conversation_not_found`, `state_unavailable`
   */
  async contextOf(plan: TurnPlan, input: readonly StoredItem[]): Promise<Context> {
    const history = await this.#history(plan);
    refuseStrayOutput(history, plan.request.input);
    return { history, items: contextFor(history, input, this.#options.windowItems) };
  }

  /**
   * Appends the items of an ended turn to its conversation. Idempotent by the response's id.
   * @returns false if the conversation was deleted meanwhile: nothing of the turn is kept then
   * @throws SluiceError `state_unavailable`; `conversation_busy` if another turn has become the writer
   */
  async keepItems({ conversation, id }: ResponseObject, { items }: Keeping): Promise<boolean> {
    return conversation === null || this.#conversations.appendItems(conversation.id, items, id);
  }

  /**
   * The response of an ended turn as the store keeps it. The context of a turn in a conversation is what stands there: it is not copied, so it goes
   * with the conversation.
   * @throws SluiceError `state_unavailable`
   */
  async endOf(ended: EndedTurn): Promise<StoredResponse> {
    const { owner, response, input, left, terminalSequence } = ended;
    const common = { owner, response, input, terminalSequence };
    if (response.conversation !== null) return { ...common, context: [], contextIn: response.conversation.id };
    const history = ended.history ?? (await this.#before(response));
    return { ...common, context: newestWithin([...history, ...left.items], this.#options.kept) };
  }

  /**
   * Stores the end of a response, if the response is to be stored. The first end wins; a deleted response is not stored again.
   * @returns the response that counts: this one or the one that was stored before
   * @throws SluiceError `state_unavailable`
   */
  async storeEnd(end: StoredResponse): Promise<ResponseObject> {
    if (!end.response.store) return end.response;
    return (await this.#responses.put(end))?.response ?? end.response;
  }

  /**
   * Writes what a turn leaves behind: the conversation's items, then the response. Idempotent by the response's id, so that a replica that
   * finishes the turn of a lost one can repeat it.
   * @returns the response that counts, see `storeEnd`
   * @throws SluiceError `state_unavailable`
   */
  async commit(ended: EndedTurn): Promise<ResponseObject> {
    const { response, left } = ended;
    if (await this.#keepUnlessTaken(response, left)) return this.storeEnd(await this.endOf(ended));
    return this.storeEnd(await this.endOf({ ...ended, response: keepingNothing(response) }));
  }

  /** A turn whose place another turn has taken keeps nothing. */
  async #keepUnlessTaken(response: ResponseObject, left: Keeping): Promise<boolean> {
    return this.keepItems(response, left).catch((error: unknown) => {
      if (error instanceof SluiceError && error.code === 'conversation_busy') return false;
      throw error;
    });
  }

  async #history(plan: TurnPlan): Promise<readonly StoredItem[]> {
    const { source } = plan;
    if (source.kind === 'none') return [];
    if (source.kind === 'previous') return source.context;
    if ((await this.#conversations.get(source.id)) === undefined) throw conversationNotFound();
    return this.#recent(source.id, plan.request.input);
  }

  /** Reads what can be sent, and all that is kept only where that is not enough: items that are never sent, or a call further back. */
  async #recent(id: string, input: readonly Item[]): Promise<readonly StoredItem[]> {
    const { windowItems, kept } = this.#options;
    const newest = await this.#conversations.recentItems(id, windowItems);
    const enough =
      newest.length < windowItems ||
      (newest.every(({ withheld, item }) => !withheld && isKnownItem(item)) &&
        strayOutput(newest, input) === undefined);
    return enough ? newest : this.#conversations.recentItems(id, kept.maxItems);
  }

  /** The context that a response started from, read again at its end. */
  async #before({ previous_response_id: id }: ResponseObject): Promise<readonly StoredItem[]> {
    const previous = id === null ? undefined : await this.#responses.get(id);
    return previous === undefined ? [] : ((await contextAfter(previous, this.#conversations)) ?? []);
  }
}

/** The response, saying that nothing of its turn is kept. */
export function keepingNothing(response: ResponseObject): ResponseObject {
  return { ...response, sluice: { ...response.sluice, kept: 'nothing' } };
}

/**
 * What is kept of a turn that ended with this output; `hidden` is reasoning that was not shown. Refused input is kept for people only. Of an unfinished answer its text is
 * kept, its unfinished function calls are not: a call without arguments that parse would make the next turn fail.
 */
export function keepingOf(
  response: Pick<ResponseObject, 'id' | 'store' | 'conversation' | 'output'>,
  input: readonly StoredItem[],
  inputRefused: boolean,
  hidden = '',
): Keeping {
  const output = response.output.filter(worthKeeping);
  const withheld = inputRefused;
  // A provider that thinks between calls wants its reasoning with the first call of the round.
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

function worthKeeping(item: OutputItem): boolean {
  if (item.type !== 'message') return item.status === 'completed';
  return item.content.some((part) => (part.type === 'refusal' ? part.refusal !== '' : part.text !== ''));
}

/** The plan and its context as the provider is asked. */
export function providerRequest(plan: TurnPlan, items: readonly Item[]): ProviderRequest {
  const { request, caller, place } = plan;
  return {
    model: plan.model,
    system: plan.system,
    items,
    temperature: plan.temperature,
    topP: plan.topP,
    maxOutputTokens: plan.maxOutputTokens,
    tools: request.tools ?? [],
    toolChoice: request.toolChoice ?? 'auto',
    parallelToolCalls: request.parallelToolCalls ?? true,
    textFormat: request.textFormat ?? { type: 'text' },
    reasoningEffort: request.reasoningEffort ?? null,
    safetyIdentifier: request.safetyIdentifier ?? caller.user,
    ...(place === undefined || place.paid === null ? {} : { paid: place.paid }),
  };
}
