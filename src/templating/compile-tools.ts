/*
 * Checks the tools of a pack and what a prompt may do with them. Tools are functions that the
 * client runs: this gateway offers them to the model and passes the calls on.
 */

import { type Ajv2020 } from 'ajv/dist/2020.js';
import { createRequire } from 'node:module';
import { type FunctionTool } from '../domain/response.js';
import { type Findings, hint, isObject, type Path } from './findings.js';
import { quoted } from './names.js';
import { type PromptFile, ToolSchema } from './pack-schema.js';
import { type PromptTools } from './prompt.js';

/** Compiles `tools` of a pack, by name. */
export function compileTools(raw: unknown, found: Findings): ReadonlyMap<string, FunctionTool> {
  const tools = new Map<string, FunctionTool>();
  if (!isObject(raw)) return tools;
  for (const [key, entry] of Object.entries(raw)) {
    const path = ['tools', key];
    const parsed = ToolSchema.safeParse(entry, { reportInput: true });
    if (!parsed.success) {
      found.issues(parsed.error, path);
      continue;
    }
    const { name, description, parameters } = parsed.data;
    if (name !== key) found.mistake([...path, 'name'], `is ${quoted(name)}`, `${quoted(key)}, the key of the tool`);
    if (parameters !== undefined) checkSchema([...path, 'parameters'], parameters, found);
    tools.set(key, { type: 'function', name, description, parameters: parameters ?? null, strict: false });
  }
  return tools;
}

// A CommonJS module, loaded by the first tool with parameters.
const require = createRequire(import.meta.url);

function checkSchema(path: Path, schema: object, found: Findings): void {
  const { default: Compiler } = require('ajv/dist/2020.js') as { readonly default: typeof Ajv2020 };
  const ajv = new Compiler({ strict: false, logger: false });
  if (ajv.validateSchema(schema) === true) return;
  for (const { instancePath, message } of ajv.errors ?? []) {
    const steps = instancePath.split('/').slice(1);
    found.mistake([...path, ...steps.map(unescaped)], `is no JSON Schema: ${message ?? 'invalid'}`);
  }
}

const unescaped = (step: string): string => step.replaceAll('~1', '/').replaceAll('~0', '~');

/** Compiles a prompt's `tools` and `tool_policy`. */
export function compilePromptTools(
  path: Path,
  { tools: names, tool_policy: policy }: PromptFile,
  defined: ReadonlyMap<string, FunctionTool>,
  found: Findings,
): PromptTools {
  const known = [...defined.keys()];
  names?.forEach((name, i) => {
    if (defined.has(name)) return;
    const allowed = known.join(', ') || 'none is defined';
    found.mistake([...path, 'tools', i], `${quoted(name)} is no tool of this pack${hint(name, known)}`, allowed);
  });
  policy?.blocklist?.forEach((name, i) => {
    const likely = defined.has(name) ? '' : hint(name, known);
    if (likely !== '') {
      found.warning([...path, 'tool_policy', 'blocklist', i], `${quoted(name)} is no tool of this pack${likely}`);
    }
  });
  const blocked = new Set(policy?.blocklist);
  const offered = [...new Set(names)].filter((name) => !blocked.has(name)).flatMap((name) => defined.get(name) ?? []);
  return {
    offered,
    only: names === undefined ? null : new Set(names),
    blocked,
    choice: policy?.tool_choice ?? null,
    maxRounds: policy?.max_rounds ?? null,
    maxCalls: policy?.max_tool_calls_per_turn ?? null,
  };
}
