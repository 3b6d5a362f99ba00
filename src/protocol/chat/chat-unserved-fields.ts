/*
 * The fields of OpenAI's chat completions request that Sluice does not serve. Values without an
 * effect are accepted and dropped; others are refused with the reason. PROTOCOL.md documents the
 * same list.
 */

import { z } from 'zod';

import { EMPTY_LIST, inert, listOf } from '../schema-tools.js';
import { MOST_NAMES, UNSERVED_FIELDS } from '../responses/unserved-fields.js';

const nothing = z.never();
const legacy = 'it is the older form; send tools and tool_choice';

const { moderation, prompt_cache_options, prompt_cache_retention, service_tier } = UNSERVED_FIELDS;

export const UNSERVED_CHAT_FIELDS = {
  audio: inert(nothing, 'Sluice serves no audio'),
  function_call: inert(nothing, legacy),
  functions: inert(EMPTY_LIST, legacy),
  modalities: inert(listOf(z.literal('text'), MOST_NAMES, 1), 'answers are text'),
  moderation,
  n: inert(z.literal(1), 'a turn has one answer; send the request again for another one'),
  // Speeds up an answer that is known in advance, and does not change it.
  prediction: inert(z.looseObject({ type: z.literal('content') }), 'it must be of type content'),
  prompt_cache_options,
  prompt_cache_retention,
  service_tier,
  store: inert(z.literal(false), 'chat completions are stateless; POST /v1/responses keeps what it answers'),
  web_search_options: inert(nothing, 'Sluice has no built-in tools'),
};
