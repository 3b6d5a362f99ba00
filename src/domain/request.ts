/*
 * What a caller asked for, after the edge has parsed it and before anything was decided: the closed shape that both
 * REST and the socket hand to a turn. Absent means absent: null and missing are one.
 */

import { type Item } from './item.js';
import { type FunctionTool, type ReasoningEffort, type TextFormat, type ToolChoice } from './response.js';

interface PromptChoice {
  /** `pack/prompt`, or the prompt's name where that is unambiguous. */
  readonly id: string;
  readonly version?: string;
  readonly variables?: Readonly<Record<string, string | number | boolean>>;
}

export interface ResponseRequest {
  /** Items in the order given, with ids; a plain string has become one user message. */
  readonly input: readonly Item[];
  readonly conversation?: string;
  readonly previousResponseId?: string;
  readonly prompt?: PromptChoice;
  readonly instructions?: string;
  readonly model?: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxOutputTokens?: number;
  readonly tools?: readonly FunctionTool[];
  readonly toolChoice?: ToolChoice;
  readonly parallelToolCalls?: boolean;
  readonly textFormat?: TextFormat;
  readonly reasoningEffort?: ReasoningEffort;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly store: boolean;
  readonly background: boolean;
  readonly user?: string;
  readonly safetyIdentifier?: string;
}
