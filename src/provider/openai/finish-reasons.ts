/* The names that servers use for the end of an answer. */

import { type FinishReason } from '../provider.js';

/**
 * `interrupted`: the server cut the answer. `failed`: it reports its own failure. `unknown`: the
 * name is in no list.
 */
export type ChatFinish = FinishReason | 'interrupted' | 'failed' | 'unknown';

const NAMES: Readonly<Record<ChatFinish, readonly string[]>> = {
  stop: [
    ...['stop', 'stop_sequence', 'stop_token', 'end_turn', 'end', 'eos', 'eos_token', 'eot', 'complete', 'completed'],
    ...['finish', 'finished', 'done', 'success', 'normal'],
  ],
  length: [
    ...['length', 'max_tokens', 'max_output_tokens', 'max_length', 'max_new_tokens', 'model_length', 'token_limit'],
    ...['model_context_window_exceeded', 'context_window_exceeded', 'context_length_exceeded'],
  ],
  tool_calls: ['tool_calls', 'tool_call', 'tool_use', 'tool', 'tools', 'function_call', 'function_calls', 'function'],
  content_filter: [
    ...['content_filter', 'content_filtered', 'content_policy', 'safety', 'sensitive', 'prohibited_content'],
    ...['blocklist', 'recitation', 'spii', 'image_safety', 'moderation', 'guardrail_intervened', 'guardrails'],
    ...['risk_control', 'refusal', 'error_toxic'],
  ],
  interrupted: [
    ...['insufficient_system_resource', 'network_error', 'abort', 'aborted', 'cancel', 'cancelled', 'canceled'],
    ...['timeout', 'time_limit', 'preempted', 'evicted', 'unexpected_eos', 'malformed_function_call'],
    ...['user_cancel', 'error_limit'],
  ],
  failed: ['error', 'server_error', 'internal_error', 'failed', 'failure', 'exception'],
  unknown: [],
};

const BY_NAME: ReadonlyMap<string, ChatFinish> = new Map(
  // The cast is safe: these are the keys of the table above.
  (Object.keys(NAMES) as ChatFinish[]).flatMap((finish) => NAMES[finish].map((name) => [name, finish] as const)),
);

/** Values that servers set on chunks before the last. */
const NO_REASON: ReadonlySet<string> = new Set(['', 'null', 'none', 'undefined']);

/** @returns undefined if `reason` means that more of the answer follows */
export function readFinish(reason: string | null): ChatFinish | undefined {
  if (reason === null) return undefined;
  const name = reason
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/gu, '_')
    .replace(/^finish_?reason[._]/u, '');
  return NO_REASON.has(name) ? undefined : (BY_NAME.get(name) ?? 'unknown');
}
