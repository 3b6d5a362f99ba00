/*
 * The nouns of templating: a prompt as it was loaded and as it was rendered. Plain data; knows no
 * file, no guardrail's code, no turn.
 */

import { type Template } from './template.js';
import { type Variable } from './variable.js';

/**
 * A guardrail as a pack asks for it; what a type means and which `params` it takes is validation's
 * business.
 */
interface GuardrailSpec {
  readonly type: string;
  readonly enabled: boolean;
  readonly params: Readonly<Record<string, unknown>>;
  /** What the user reads when it refuses. */
  readonly message?: string;
}

/** What a pack would like to be asked with; a request or the configuration may say otherwise. */
export interface PromptParameters {
  readonly temperature?: number;
  readonly topP?: number;
  /** In tokens. */
  readonly maxTokens?: number;
}

/**
 * One entry of a pack, checked and compiled: rendering it can only fail by the values it is given.
 */
export interface Prompt {
  readonly pack: string;
  /** The key in the pack: what a request names. */
  readonly name: string;
  /** The pack's version (what a request's `prompt.version` chooses), without a leading `v`. */
  readonly version: string;
  /** For people. */
  readonly title: string;
  readonly description: string | null;
  readonly template: Template;
  readonly variables: readonly Variable[];
  readonly guardrails: readonly GuardrailSpec[];
  readonly parameters: PromptParameters;
}

export interface RenderedPrompt {
  readonly pack: string;
  readonly name: string;
  readonly version: string;
  readonly system: string;
  readonly guardrails: readonly GuardrailSpec[];
  readonly parameters: PromptParameters;
}
