/*
 * The data types of templating: a prompt as loaded and as rendered. Plain data; knows no file, no
 * guardrail code and no turn.
 */

import { type FunctionTool } from '../domain/response.js';
import { type Template } from './template.js';
import { type Variable } from './variable.js';

/** A guardrail as a pack requests it. Validation reads it and defines the rest of its settings. */
export interface PromptGuardrail {
  readonly type: string;
  readonly enabled: boolean;
  readonly params: Readonly<Record<string, unknown>>;
  /** Message for the user when the guardrail refuses. */
  readonly message?: string | undefined;
}

/** Reads the list `validators` of a prompt. Mistakes have JSON pointers into the list. */
export type ReadGuardrails = (list: unknown) => {
  readonly guardrails: readonly PromptGuardrail[];
  readonly mistakes: readonly { readonly pointer: string; readonly what: string }[];
};

/** Parameters that a pack suggests. A request or the configuration may override them. */
export interface PromptParameters {
  readonly temperature?: number;
  readonly topP?: number;
  /** In tokens. */
  readonly maxTokens?: number;
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
}

/** What a prompt allows its model to do with tools. */
export interface PromptTools {
  /** The pack's tools that are offered to the model. */
  readonly offered: readonly FunctionTool[];
  /** Names of the only tools that the model may call. Null: the pack does not limit them. */
  readonly only: ReadonlySet<string> | null;
  /** Names of tools that the model may not call. */
  readonly blocked: ReadonlySet<string>;
  readonly choice: 'auto' | 'required' | 'none' | null;
  /** Most answers with calls between two messages of the user. Null: no limit. */
  readonly maxRounds: number | null;
  /** Most calls between two messages of the user. Null: no limit. */
  readonly maxCalls: number | null;
}

/** What a prompt changes for one model. */
export interface ModelOverride {
  readonly template: Template;
  readonly parameters: PromptParameters;
}

/** A pack's own description. */
export interface PackMetadata {
  readonly domain?: string;
  readonly language?: string;
  readonly tags?: readonly string[];
}

/**
 * One entry of a pack, checked and compiled. Rendering it can fail only because of the given
 * values.
 */
export interface Prompt {
  readonly pack: string;
  /** The key in the pack, which requests name. */
  readonly name: string;
  /** The version of the pack without a leading `v`, which a request's `prompt.version` selects. */
  readonly version: string;
  /** Name of the prompt, to show to people. */
  readonly title: string;
  readonly description: string | null;
  readonly template: Template;
  readonly variables: readonly Variable[];
  readonly guardrails: readonly PromptGuardrail[];
  readonly parameters: PromptParameters;
  readonly tools: PromptTools;
  /** By the name of the model. */
  readonly overrides: ReadonlyMap<string, ModelOverride>;
  readonly metadata: PackMetadata;
}

export interface RenderedPrompt {
  readonly pack: string;
  readonly name: string;
  readonly version: string;
  readonly system: string;
  readonly guardrails: readonly PromptGuardrail[];
  readonly parameters: PromptParameters;
  readonly tools: PromptTools;
}
