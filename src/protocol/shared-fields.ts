/* The fields that Responses and chat completions requests share, and their domain form. */

import { z } from 'zod';

import { type PromptChoice, type Sampling } from '../domain/request.js';
import { closed, METADATA, present, recordOf, servedType } from './schema-tools.js';

export const ID = z.string().min(1).max(256);
export const MOST_TOOLS = 128;
export const REASONING_EFFORT = z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);

/** A variable is a JSON value. An OpenAI text part is read as its text. */
const VARIABLE = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.custom<readonly unknown[]>((value) => Array.isArray(value)),
  z.preprocess(
    servedType('unsupported_content', (type) =>
      type === 'input_image' || type === 'input_file' ? 'is not served; variables are text' : undefined,
    ),
    z.union([
      z.strictObject({ type: z.literal('input_text'), text: z.string() }).transform((part) => part.text),
      z.custom<Readonly<Record<string, unknown>>>((value) => typeof value === 'object' && value !== null),
    ]),
  ),
]);

export const PROMPT = closed({
  id: ID,
  version: z.string().max(64).optional(),
  variables: recordOf(256, z.string(), VARIABLE).optional(),
});

export const VERBOSITY = z.enum(['low', 'medium', 'high']);
const PENALTY = z.number().min(-2).max(2).optional();

/** The fields with the same name in both kinds of request. */
export const SHARED_FIELDS = {
  prompt: PROMPT.optional(),
  model: ID.optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
  frequency_penalty: PENALTY,
  presence_penalty: PENALTY,
  parallel_tool_calls: z.boolean().optional(),
  metadata: METADATA.optional(),
  stream: z.boolean().optional(),
  user: z.string().max(256).optional(),
  safety_identifier: z.string().max(128).optional(),
  prompt_cache_key: z.string().max(1_024).optional(),
};

/** Returns the sampling of the answer, or undefined if the request leaves every default. */
export function samplingOf(fields: {
  readonly frequency_penalty?: number | undefined;
  readonly presence_penalty?: number | undefined;
  readonly seed?: number | undefined;
  readonly stop?: string | readonly string[] | undefined;
  readonly logit_bias?: Readonly<Record<string, number>> | undefined;
  readonly verbosity?: z.output<typeof VERBOSITY> | undefined;
  /** Alternatives of each token, 0 to 20. Absent: the request asks for no log probabilities. */
  readonly topLogprobs?: number | undefined;
}): Sampling | undefined {
  const stop = [fields.stop ?? []].flat();
  const bias = fields.logit_bias;
  const sampling = present({
    frequencyPenalty: fields.frequency_penalty === 0 ? undefined : fields.frequency_penalty,
    presencePenalty: fields.presence_penalty === 0 ? undefined : fields.presence_penalty,
    seed: fields.seed,
    stop: stop.length === 0 ? undefined : stop,
    logitBias: bias === undefined || Object.keys(bias).length === 0 ? undefined : bias,
    // `medium` is the default of models. Omit it for servers that do not know the field.
    verbosity: fields.verbosity === 'medium' ? undefined : fields.verbosity,
    topLogprobs: fields.topLogprobs,
  });
  return Object.keys(sampling).length === 0 ? undefined : sampling;
}

/** Converts a prompt to its domain form. */
export function promptOf(prompt: z.output<typeof PROMPT> | undefined): PromptChoice | undefined {
  if (prompt === undefined) return undefined;
  return { id: prompt.id, ...present({ version: prompt.version, variables: prompt.variables }) };
}

/** Converts SHARED_FIELDS to their domain form. */
export function sharedOf(fields: z.output<z.ZodObject<typeof SHARED_FIELDS>>) {
  return present({
    prompt: promptOf(fields.prompt),
    model: fields.model,
    temperature: fields.temperature,
    topP: fields.top_p,
    parallelToolCalls: fields.parallel_tool_calls,
    metadata: fields.metadata,
    user: fields.user,
    safetyIdentifier: fields.safety_identifier,
    promptCacheKey: fields.prompt_cache_key,
  });
}
