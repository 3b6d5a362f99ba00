/* The response object, in OpenAI's wire shape, with Sluice's own facts under `sluice`. */

import { type OutputItem, type StoredItem } from './item.js';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

export type IncompleteReason = 'max_output_tokens' | 'content_filter' | 'cancelled';

export interface Usage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number; readonly cache_write_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

export interface FunctionTool {
  readonly type: 'function';
  readonly name: string;
  readonly description?: string | null;
  readonly parameters: Readonly<Record<string, unknown>> | null;
  readonly strict: boolean | null;
}
/** What a provider understands of a tool choice. */
export type SentToolChoice = 'none' | 'auto' | 'required' | { readonly type: 'function'; readonly name: string };
/** The tools that the model may call, of all that a request names. */
interface AllowedTools {
  readonly type: 'allowed_tools';
  readonly mode: 'auto' | 'required';
  readonly tools: readonly { readonly type: 'function'; readonly name: string }[];
}
export type ToolChoice = SentToolChoice | AllowedTools;
export type TextFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema';
      readonly name: string;
      readonly schema: Readonly<Record<string, unknown>>;
      readonly description?: string;
      readonly strict?: boolean | null;
    };
export type ReasoningEffort = 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max';

/** A finding of a guardrail. Names the rule, never the text. */
export interface Finding {
  readonly guardrail: string;
  readonly stage: 'input' | 'output';
  readonly decision: 'deny' | 'redact' | 'note';
  /**
   * Code units before the finding, in its text: the output, or the message of the input. Absent if
   * it is about no text.
   */
  readonly position?: number;
  /** Short machine-readable reason, e.g. `banned_word`, `too_long`. */
  readonly reason: string;
}

/** Which items of a turn are stored in its conversation (or in the response's chain). */
export type Kept = 'all' | 'partial' | 'input' | 'display_only' | 'nothing';

export interface SluiceFacts {
  readonly prompt: { readonly pack: string; readonly name: string; readonly version: string } | null;
  readonly provider: string | null;
  readonly findings: readonly Finding[];
  /** Cost in US dollars. Null if the price is unknown or nothing was counted. */
  readonly cost_usd: number | null;
  readonly usage_estimated: boolean;
  readonly kept: Kept | null;
  /**
   * For a failed response: whether the same request may be retried, and after how many
   * milliseconds.
   */
  readonly retry?: { readonly retryable: boolean; readonly after_ms: number | null };
}

export interface ResponseObject {
  readonly id: string;
  readonly object: 'response';
  /** Unix seconds. */
  readonly created_at: number;
  readonly completed_at: number | null;
  readonly status: ResponseStatus;
  readonly background: boolean;
  readonly error: { readonly type?: string; readonly code: string; readonly message: string } | null;
  readonly incomplete_details: { readonly reason: IncompleteReason } | null;
  readonly instructions: string | null;
  readonly max_output_tokens: number | null;
  readonly model: string;
  readonly output: readonly OutputItem[];
  /** The joined text. The SDK computes its own; clients without an SDK need this field. */
  readonly output_text: string;
  readonly parallel_tool_calls: boolean;
  readonly previous_response_id: string | null;
  readonly conversation: { readonly id: string } | null;
  readonly prompt: {
    readonly id: string;
    readonly version: string | null;
    readonly variables: Readonly<Record<string, unknown>> | null;
  } | null;
  readonly reasoning: { readonly effort: ReasoningEffort | null; readonly summary: null };
  readonly service_tier: string;
  readonly store: boolean;
  readonly temperature: number | null;
  readonly text: { readonly format: TextFormat; readonly verbosity?: 'low' | 'high' };
  readonly tool_choice: ToolChoice;
  readonly tools: readonly FunctionTool[];
  readonly top_p: number | null;
  readonly presence_penalty?: number;
  readonly frequency_penalty?: number;
  readonly top_logprobs?: number;
  readonly max_tool_calls?: number | null;
  readonly prompt_cache_key?: string | null;
  readonly access_programs?: null;
  readonly truncation: 'disabled';
  readonly usage: Usage | null;
  /** Absent if the caller named no user. */
  readonly user?: string;
  readonly safety_identifier: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly sluice: SluiceFacts;
}

/** A stored response: the object, its input, and the context from which a next turn continues. */
export interface StoredResponse {
  readonly owner: string;
  /** The class of the credential that created it, which decides how long it is stored. */
  readonly limitsClass?: string;
  readonly response: ResponseObject;
  readonly input: readonly StoredItem[];
  /**
   * The context of a turn that names this response as `previous_response_id`: earlier context, this
   * input, this output, bounded by `state.max_messages` and `state.max_bytes`. It is a copy, so
   * that forks share nothing and an earlier response may expire alone. Empty if `contextIn` names a
   * conversation.
   */
  readonly context: readonly StoredItem[];
  /**
   * The conversation whose items, up to those of this response, are its context. A turn in a
   * conversation stores no copy of those items. Undefined: `context` holds the items.
   */
  readonly contextIn?: string;
  /** Sequence number of its terminal event. */
  readonly terminalSequence: number;
}

export const ZERO_USAGE: Usage = {
  input_tokens: 0,
  input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 0,
};

export function isEnded(status: ResponseStatus): boolean {
  return status !== 'queued' && status !== 'in_progress';
}

/** Returns the visible text: all output_text parts, joined. Equals the joined deltas. */
export function outputTextOf(output: readonly OutputItem[]): string {
  let text = '';
  for (const item of output) {
    if (item.type !== 'message') continue;
    for (const part of item.content) if (part.type === 'output_text') text += part.text;
  }
  return text;
}
