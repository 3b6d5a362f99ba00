/*
 * The pack file: the subset of the public PromptPack format (promptpack.org, specification 1.1 to
 * 1.9) that a gateway needs. Shapes only; references inside a pack are checked by compile-pack.
 * Keys of the format that have no effect here are listed.
 */

import { z } from 'zod';
import { VERSION } from './pack-version.js';
import { GREATEST_MAX_LENGTH, VARIABLE_TYPES } from './variable.js';

const version = z.string().regex(VERSION, 'must be a semantic version such as 1.0.0');
const variableName = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/, 'must be letters, digits and _, not starting with a digit');
const count = z.number().int().min(0);

const validation = z.strictObject({
  pattern: z.string().optional(),
  min_length: count.optional(),
  max_length: count.min(1).max(GREATEST_MAX_LENGTH).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  enum: z.array(z.unknown()).min(1).optional(),
});

const variable = z.strictObject({
  name: variableName,
  type: z.enum(VARIABLE_TYPES),
  required: z.boolean().default(false),
  default: z.unknown().optional(),
  description: z.string().optional(),
  example: z.unknown().optional(),
  validation: validation.optional(),
  binding: z.unknown().optional(),
});

const validator = z.strictObject({
  type: z.string().min(1),
  enabled: z.boolean().default(true),
  params: z.record(z.string(), z.unknown()).default({}),
  message: z.string().min(1).optional(),
  fail_on_violation: z.boolean().optional(),
});

const parameters = z.strictObject({
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  max_tokens: count.min(1).optional(),
  top_k: z.unknown().optional(),
  frequency_penalty: z.unknown().optional(),
  presence_penalty: z.unknown().optional(),
});

const prompt = z.strictObject({
  id: z.string(),
  name: z.string().min(1),
  version,
  description: z.string().optional(),
  system_template: z.string().min(1),
  variables: z.array(variable).default([]),
  validators: z.array(validator).default([]),
  parameters: parameters.optional(),
  tested_models: z.unknown().optional(),
  extensions: z.unknown().optional(),
  tools: z.unknown().optional(),
  tool_policy: z.unknown().optional(),
  pipeline: z.unknown().optional(),
  model_overrides: z.unknown().optional(),
  media: z.unknown().optional(),
  evals: z.unknown().optional(),
  provider: z.unknown().optional(),
});

/** Prompts are checked one by one, so that a mistake in one does not hide those in another. */
const packHead = z.looseObject({
  id: z
    .string()
    .max(100)
    .regex(/^[a-z][a-z0-9-]*$/, 'must be lower-case letters, digits and -, starting with a letter'),
  name: z.string().min(1).max(200),
  version,
  description: z.string().max(5_000).optional(),
  template_engine: z.strictObject({
    version: z.string().regex(/^v?1(\.\d+)*$/, 'must be v1'),
    syntax: z.literal('{{variable}}'),
    features: z.array(z.enum(['basic_substitution', 'fragments'])).optional(),
  }),
  prompts: z.record(
    z.string().regex(/^[a-z][a-z0-9_-]*$/, 'must be lower-case letters, digits, _ and -, starting with a letter'),
    z.unknown(),
  ),
  fragments: z.record(variableName, z.string()).optional(),
  $schema: z.string().optional(),
  metadata: z.unknown().optional(),
  compilation: z.unknown().optional(),
});

export const PackHeadSchema = packHead;
export const PromptSchema = prompt;
export type PromptFile = z.infer<typeof prompt>;
export type VariableFile = z.infer<typeof variable>;

/** Keys of the format that have no effect here, although their author may expect one. */
export const WITHOUT_EFFECT = {
  prompt: ['tools', 'tool_policy', 'pipeline', 'model_overrides', 'media', 'evals', 'provider'],
  variable: ['binding'],
  parameters: ['top_k', 'frequency_penalty', 'presence_penalty'],
} as const;

const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  template_engine: Object.keys(packHead.shape.template_engine.shape),
  variables: Object.keys(variable.shape),
  validation: Object.keys(validation.shape),
  validators: Object.keys(validator.shape),
  parameters: Object.keys(parameters.shape),
};
const PROMPT_KEYS = Object.keys(prompt.shape);
export const PACK_KEYS = Object.keys(packHead.shape);

/** The allowed keys of an object at `path` of the file. */
export function knownKeysAt(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return PACK_KEYS;
  if (path[0] === 'prompts' && path.length === 2) return PROMPT_KEYS;
  const holder = path.findLast((step) => typeof step === 'string');
  return holder === undefined ? [] : (KNOWN_KEYS[holder] ?? []);
}
