/*
 * A parsed request, before admission: the closed shape in which both REST and the socket pass it to
 * a turn. A field that is null on the wire is absent here.
 */

import { type Item } from './item.js';
import { type FunctionTool, type ReasoningEffort, type TextFormat, type ToolChoice } from './response.js';

export interface PromptChoice {
  /** `pack/prompt`, or the prompt's name if it is unambiguous. */
  readonly id: string;
  readonly version?: string;
  /** JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * How an answer is sampled, beside temperature and top_p. Passed on to providers whose protocol has
 * the field.
 */
export interface Sampling {
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly logitBias?: Readonly<Record<string, number>>;
  readonly verbosity?: 'low' | 'high';
  /** Asks for log probabilities, with so many of the likeliest tokens in each place. */
  readonly topLogprobs?: number;
}

/** Names a stored item of the caller in place of its text. */
export interface ItemReference {
  readonly type: 'item_reference';
  readonly id: string;
}

export function isReference(item: Item | ItemReference): item is ItemReference {
  return item.type === 'item_reference';
}

export interface ResponseRequest {
  /** Items in the given order, with ids. A plain string becomes one user message. */
  readonly input: readonly (Item | ItemReference)[];
  readonly conversation?: string;
  readonly previousResponseId?: string;
  readonly prompt?: PromptChoice;
  readonly instructions?: string;
  readonly model?: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly sampling?: Sampling;
  readonly maxOutputTokens?: number;
  readonly tools?: readonly FunctionTool[];
  readonly toolChoice?: ToolChoice;
  /** A bound on calls of built-in tools, which Sluice does not have: returned, without effect. */
  readonly maxToolCalls?: number;
  /** Passed on to the provider, whose cache it addresses. */
  readonly promptCacheKey?: string;
  readonly parallelToolCalls?: boolean;
  readonly textFormat?: TextFormat;
  readonly reasoningEffort?: ReasoningEffort;
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * False: the turn takes its input and gives no answer, so that later turns can continue from it.
   */
  readonly generate?: false;
  readonly store: boolean;
  readonly background: boolean;
  readonly user?: string;
  readonly safetyIdentifier?: string;
  /** Tokens of context from which on it is compacted. Absent: it is not. */
  readonly compactThreshold?: number;
  /** Whether the answer is a summary of the context and input. No client sets it by a field. */
  readonly summarize?: boolean;
}

/** A request whose references are replaced by the items that they name. */
export interface ResolvedRequest extends ResponseRequest {
  readonly input: readonly Item[];
}
