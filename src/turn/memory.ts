/* What a turn remembers: the context it starts from, and what of it goes into the conversation when it ends. */

import { contextFor, type Item, type OutputItem, type StoredItem, unansweredOutput } from '../domain/item.js';
import { type Kept, type ResponseObject, type StoredResponse } from '../domain/response.js';
import { type ProviderRequest } from '../provider/provider.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { conversationNotFound, type TurnPlan, unknownCall } from './admission.js';

export interface MemoryOptions {
  /** Most items sent to the provider. */
  readonly windowItems: number;
  /** Most items kept as the context of a stored response. */
  readonly keptItems: number;
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

  /** @throws SluiceError `unknown_call_id`, `conversation_not_found`, `state_unavailable` */
  async contextOf(plan: TurnPlan): Promise<Context> {
    const history = await this.#history(plan);
    if (unansweredOutput(history, plan.request.input) !== undefined) throw unknownCall();
    return { history, items: contextFor(history, plan.request.input, this.#options.windowItems) };
  }

  /**
   * Appends the items of an ended turn to its conversation. Idempotent by the response's id.
   * @returns false if the conversation was deleted meanwhile: nothing of the turn is kept then
   * @throws SluiceError `state_unavailable`
   */
  async keepItems({ conversation, id }: ResponseObject, { items }: Keeping): Promise<boolean> {
    return conversation === null || this.#conversations.appendItems(conversation.id, items, id);
  }

  /**
   * The response of an ended turn as the store keeps it. Of a conversation that was deleted meanwhile it keeps nothing that the turn had read there.
   * @throws SluiceError `state_unavailable`
   */
  async endOf(ended: EndedTurn): Promise<StoredResponse> {
    const { owner, response, input, left, terminalSequence } = ended;
    const history = ended.history ?? (await this.#before(response));
    const context = [...history, ...left.items].slice(-this.#options.keptItems);
    return { owner, response, input, context, terminalSequence };
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
    // Read before the items of this turn are appended: they are no part of it.
    const history = ended.history ?? (response.store ? await this.#before(response) : []);
    if (await this.keepItems(response, left)) return this.storeEnd(await this.endOf({ ...ended, history }));
    return this.storeEnd(await this.endOf({ ...ended, response: keepingNothing(response), history: [] }));
  }

  async #history(plan: TurnPlan): Promise<readonly StoredItem[]> {
    const { source } = plan;
    if (source.kind === 'none') return [];
    if (source.kind === 'previous') return source.context;
    if ((await this.#conversations.get(source.id)) === undefined) throw conversationNotFound();
    return this.#conversations.recentItems(source.id, this.#options.keptItems);
  }

  /** The context a response started from, read again at its end (nobody else writes to its conversation meanwhile). */
  async #before(response: ResponseObject): Promise<readonly StoredItem[]> {
    if (response.conversation !== null) {
      const items = await this.#conversations.recentItems(response.conversation.id, this.#options.keptItems);
      return items.filter((stored) => stored.responseId !== response.id);
    }
    if (response.previous_response_id === null) return [];
    return (await this.#responses.get(response.previous_response_id))?.context ?? [];
  }
}

/** The response, saying that nothing of its turn is kept. */
export function keepingNothing(response: ResponseObject): ResponseObject {
  return { ...response, sluice: { ...response.sluice, kept: 'nothing' } };
}

/**
 * What is kept of a turn that ended with this output. Refused input is kept for people only. Of an unfinished answer its text is
 * kept, its unfinished function calls are not: a call without arguments that parse would make the next turn fail.
 */
export function keepingOf(
  response: Pick<ResponseObject, 'id' | 'store' | 'conversation' | 'output'>,
  input: readonly StoredItem[],
  inputRefused: boolean,
): Keeping {
  const output = response.output.filter(worthKeeping);
  const withheld = inputRefused;
  const items: StoredItem[] = [
    ...input.map((stored) => ({ ...stored, withheld })),
    ...output.map((item) => ({ item, responseId: response.id, withheld })),
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
  const { request, caller } = plan;
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
  };
}
