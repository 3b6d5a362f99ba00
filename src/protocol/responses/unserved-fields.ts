/*
 * The fields of OpenAI's request that Sluice does not serve. Values without an effect are accepted
 * and dropped; others are refused with the reason. PROTOCOL.md §3 documents the same list.
 */

import { z } from 'zod';

import { inert, listOf } from '../schema-tools.js';

const nothing = z.never();
/** The reason for refusing an `include` of anything else. */
export const INCLUDE_REASON = 'responses carry all there is: no reasoning items, no results of built-in tools';
/** Most entries of a list of fixed names. */
export const MOST_NAMES = 32;
/**
 * Values of `include` for features that no response here has. Accepted, because the official tool
 * runner always sends one.
 */
const NOTHING = [
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
  'reasoning.encrypted_content',
] as const;
/** Asks for log probabilities. A stored answer has them without it. */
export const LOGPROBS = 'message.output_text.logprobs';
export const INCLUDE = listOf(z.enum([...NOTHING, LOGPROBS]), MOST_NAMES);

export const UNSERVED_FIELDS = {
  access_programs: inert(nothing, "access programs are OpenAI's own"),
  // Hints: a background turn here always starts as soon as it can.
  background_options: inert(
    z.strictObject({
      completion_window: z.enum(['soonest', '2h', '8h']).optional(),
      continuation_id: z.string().max(1_024).optional(),
    }),
    'only completion_window and continuation_id are understood',
  ),
  image: inert(
    z.strictObject({ context_compression: z.enum(['auto', 'disabled']).optional() }),
    'only context_compression is understood',
  ),
  moderation: inert(nothing, "checks are the prompt pack's guardrails"),
  // Cache hints change cost and speed, never the answer.
  prompt_cache_options: inert(
    z.strictObject({ mode: z.enum(['implicit', 'explicit']).optional(), ttl: z.enum(['30m', '12h']).optional() }),
    'only mode and ttl are understood; caches are neither prewarmed nor diagnosed',
  ),
  // A hint: the provider decides how long its cache keeps a prompt.
  prompt_cache_retention: inert(z.enum(['24h', 'in_memory', 'in-memory']), "it must be '24h' or 'in_memory'"),
  // A hint, with OpenAI too: `service_tier` of the response has the tier that was used.
  service_tier: inert(
    z.enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast', 'ultrafast']),
    "it must be one of OpenAI's tiers",
  ),
  stream_options: inert(
    z.strictObject({ include_obfuscation: z.boolean().optional() }),
    'only include_obfuscation is understood',
  ),
  truncation: inert(z.enum(['auto', 'disabled']), "it must be 'auto' or 'disabled'"),
};

/** A hint: a response carries its reasoning in the form that the provider sends. */
const summaryWish = inert(z.enum(['auto', 'concise', 'detailed']), "it must be 'auto', 'concise' or 'detailed'");
/** Fields inside `reasoning` and inside a function tool. */
export const UNSERVED_REASONING_FIELDS = {
  summary: summaryWish,
  generate_summary: summaryWish,
  context: inert(z.literal('auto'), 'what is sent back is up to the provider'),
  mode: inert(z.literal('standard'), 'there is one mode'),
};
export const UNSERVED_TOOL_FIELDS = {
  allowed_callers: inert(listOf(z.literal('direct'), MOST_NAMES), 'there are no programmatic tool callers'),
  async: inert(z.literal(false), 'function calls are answered in order'),
  defer_loading: inert(z.literal(false), 'all tools of a request are loaded'),
  output_schema: inert(nothing, "a function's output is passed on as text"),
};
