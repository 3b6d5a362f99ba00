/*
 * The pack file: the public PromptPack format, version 1.5, written here from the facts of its
 * specification (promptpack.org, AltairaLabs/promptpack-spec). Keys that later versions (to 1.9)
 * added are known, too. Shapes only; references inside a pack are checked by compile-pack. Keys of
 * the format that this gateway does not run are listed.
 */

import { z } from 'zod';
import { VERSION } from './pack-version.js';
import { SYNTAX_NAMES, syntaxMistake, syntaxOf } from './syntax.js';
import { GREATEST_MAX_LENGTH, VARIABLE_TYPES } from './variable.js';

const version = z.string().regex(VERSION, 'must be a semantic version such as 1.0.0');
const variableName = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/, 'must be letters, digits and _, not starting with a digit');
const fragmentName = z
  .string()
  .regex(/^[a-zA-Z_][a-zA-Z0-9_-]*$/, 'must be letters, digits, _ and -, not starting with a digit');
const count = z.number().int().min(0);
const names = z.array(z.string().min(1));

const validation = z.strictObject({
  pattern: z.string().optional(),
  min_length: count.optional(),
  max_length: count.min(1).max(GREATEST_MAX_LENGTH).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  enum: z.array(z.unknown()).min(1).optional(),
});

const binding = z.strictObject({
  kind: z.string().optional(),
  field: z.string().min(1).optional(),
  auto_populate: z.boolean().default(false),
  filter: z.enum(['lowercase', 'uppercase', 'trim']).optional(),
});

const variable = z.strictObject({
  name: variableName,
  type: z.enum(VARIABLE_TYPES),
  required: z.boolean().default(false),
  default: z.unknown().optional(),
  description: z.string().optional(),
  example: z.unknown().optional(),
  validation: validation.optional(),
  binding: binding.optional(),
});

const penalty = z.number().min(-2).max(2).optional();
const parameters = z.strictObject({
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  max_tokens: count.min(1).optional(),
  top_k: count.min(1).nullable().optional(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
});

const toolPolicy = z.strictObject({
  tool_choice: z.enum(['auto', 'required', 'none']).optional(),
  max_rounds: count.min(1).optional(),
  max_tool_calls_per_turn: count.min(1).optional(),
  blocklist: names.optional(),
});

const modelOverride = z.strictObject({
  system_template: z.string().optional(),
  system_template_prefix: z.string().optional(),
  system_template_suffix: z.string().optional(),
  parameters: parameters.optional(),
});

const testedModel = z.strictObject({
  provider: z.string(),
  model: z.string(),
  date: z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'must be a date such as 2026-01-31'),
  success_rate: z.number().min(0).max(1).optional(),
  avg_tokens: z.number().min(0).optional(),
  avg_cost: z.number().min(0).optional(),
  avg_latency_ms: z.number().min(0).optional(),
  notes: z.string().optional(),
});

const pipeline = z.strictObject({
  stages: z.array(z.string()),
  middleware: z
    .array(z.strictObject({ type: z.string(), config: z.record(z.string(), z.unknown()).optional() }))
    .optional(),
});

const tool = z.strictObject({
  name: variableName,
  description: z.string().min(1),
  parameters: z
    .looseObject({
      type: z.literal('object'),
      properties: z.record(z.string(), z.record(z.string(), z.unknown())),
      required: z.array(z.string()).optional(),
    })
    .optional(),
});

const prompt = z.strictObject({
  id: z.string(),
  name: z.string().min(1),
  version,
  description: z.string().optional(),
  system_template: z.string().min(1),
  variables: z.array(variable).default([]),
  /** Read by validation, which defines the guardrails. */
  validators: z.unknown().optional(),
  parameters: parameters.optional(),
  tools: names.optional(),
  tool_policy: toolPolicy.optional(),
  model_overrides: z.record(z.string().min(1), modelOverride).default({}),
  tested_models: z.array(testedModel).optional(),
  pipeline: pipeline.optional(),
  extensions: z.unknown().optional(),
  media: z.unknown().optional(),
  evals: z.unknown().optional(),
  provider: z.unknown().optional(),
});

const cost = z.number().min(0).optional();
const metadata = z.looseObject({
  domain: z.string().optional(),
  language: z
    .string()
    .regex(/^[a-z]{2}$/, 'must be a language of two letters (ISO 639-1) such as en')
    .optional(),
  tags: z.array(z.string()).optional(),
  cost_estimate: z.looseObject({ min_cost_usd: cost, max_cost_usd: cost, avg_cost_usd: cost }).optional(),
});

/**
 * Prompts and tools are checked one by one, so that a mistake in one does not hide those in
 * another.
 */
const packHead = z.strictObject({
  id: z
    .string()
    .max(100)
    .regex(/^[a-z][a-z0-9-]*$/, 'must be lower-case letters, digits and -, starting with a letter'),
  name: z.string().min(1).max(200),
  version,
  description: z.string().max(5_000).optional(),
  template_engine: z.strictObject({
    version: z.string().regex(/^v?1(\.\d+)*$/, 'must be v1'),
    syntax: z.string().refine((example) => syntaxOf(example) !== undefined, {
      error: ({ input }) => `${syntaxMistake(String(input))}; known: ${SYNTAX_NAMES.join(', ')}`,
    }),
    features: z.array(z.enum(['basic_substitution', 'fragments'])).optional(),
  }),
  prompts: z.record(
    z.string().regex(/^[a-z][a-z0-9_-]*$/, 'must be lower-case letters, digits, _ and -, starting with a letter'),
    z.unknown(),
  ),
  fragments: z.record(fragmentName, z.string()).optional(),
  tools: z.record(z.string(), z.unknown()).optional(),
  metadata: metadata.optional(),
  compilation: z
    .looseObject({
      compiled_with: z.string(),
      created_at: z.string(),
      schema: z.string(),
      source: z.string().optional(),
    })
    .optional(),
  $schema: z.string().optional(),
  evals: z.unknown().optional(),
  workflow: z.unknown().optional(),
  agents: z.unknown().optional(),
  skills: z.unknown().optional(),
  compositions: z.unknown().optional(),
  requires: z.unknown().optional(),
});

export const PackHeadSchema = packHead;
export const PromptSchema = prompt;
export const ToolSchema = tool;
export type PromptFile = z.infer<typeof prompt>;
export type VariableFile = z.infer<typeof variable>;
export type ParametersFile = z.infer<typeof parameters>;
export type ModelOverrideFile = z.infer<typeof modelOverride>;

/** Parts of the format that this gateway does not run, although their author may expect it. */
export const NOT_RUN = {
  pack: ['workflow', 'agents', 'compositions', 'skills', 'evals', 'requires'],
  prompt: ['media', 'evals', 'provider'],
  parameters: ['top_k'],
} as const;
/** The stages that every turn has. A pipeline of other stages is not run. */
export const TURN_STAGES: ReadonlySet<string> = new Set(['template', 'provider', 'validator']);

const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  template_engine: Object.keys(packHead.shape.template_engine.shape),
  variables: Object.keys(variable.shape),
  validation: Object.keys(validation.shape),
  binding: Object.keys(binding.shape),
  parameters: Object.keys(parameters.shape),
  tool_policy: Object.keys(toolPolicy.shape),
  tested_models: Object.keys(testedModel.shape),
  pipeline: Object.keys(pipeline.shape),
  middleware: ['type', 'config'],
};
const PACK_KEYS = Object.keys(packHead.shape);

/** The allowed keys of an object at `path` of the file. */
export function knownKeysAt(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return PACK_KEYS;
  if (path[0] === 'prompts' && path.length === 2) return Object.keys(prompt.shape);
  if (path[0] === 'tools' && path.length === 2) return Object.keys(tool.shape);
  if (path.at(-2) === 'model_overrides') return Object.keys(modelOverride.shape);
  const holder = path.findLast((step) => typeof step === 'string');
  return holder === undefined ? [] : (KNOWN_KEYS[holder] ?? []);
}
