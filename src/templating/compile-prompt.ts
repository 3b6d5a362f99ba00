/* Checks one prompt of a pack and compiles it. Pure. */

import { compilePromptTools } from './compile-tools.js';
import { compileVariables } from './compile-variables.js';
import { type FunctionTool } from '../domain/response.js';
import { type Findings, hint, isObject, type Json, type Path } from './findings.js';
import { type Fragments } from './fragments.js';
import { quoted } from './names.js';
import { pointer } from './pack-mistake.js';
import {
  type ModelOverrideFile,
  NOT_RUN,
  type ParametersFile,
  type PromptFile,
  PromptSchema,
  TURN_STAGES,
} from './pack-schema.js';
import {
  type ModelOverride,
  type Prompt,
  type PromptGuardrail,
  type PromptParameters,
  type ReadGuardrails,
} from './prompt.js';
import { builtInField } from './sources.js';
import { type Syntax } from './syntax.js';
import { type Hole, holesIn, holeText, parseTemplate, type Template } from './template.js';
import { type Variable, type VariableType } from './variable.js';

interface PromptContext {
  readonly found: Findings;
  readonly fragments: Fragments;
  readonly tools: ReadonlyMap<string, FunctionTool>;
  readonly syntax: Syntax;
  readonly readGuardrails: ReadGuardrails;
}

type CompiledPrompt = Omit<Prompt, 'pack' | 'version' | 'metadata'>;

/**
 * Checks and compiles one prompt. Reads templates from the raw entry first, so that a mistake in
 * another key does not hide mistakes in templates.
 */
export function compilePrompt(key: string, raw: unknown, context: PromptContext): CompiledPrompt | undefined {
  const { found } = context;
  const path = ['prompts', key];
  const templates = new Templates(path, isObject(raw) ? raw : {}, context);
  const parsed = PromptSchema.safeParse(raw, { reportInput: true });
  if (!parsed.success) {
    found.issues(parsed.error, path);
    return undefined;
  }
  const file = parsed.data;
  if (file.id !== key) found.mistake([...path, 'id'], `is ${quoted(file.id)}`, `${quoted(key)}, the key of the prompt`);
  found.notRunKeys(path, file, NOT_RUN.prompt);
  checkPipeline(path, file, found);
  const parameters = compileParameters([...path, 'parameters'], file.parameters, found);
  return {
    name: key,
    title: file.name,
    description: file.description ?? null,
    template: templates.main,
    variables: [...compileVariables(path, file, found), ...templates.builtIns()],
    guardrails: compileGuardrails(path, file, context),
    parameters,
    tools: compilePromptTools(path, file, context.tools, found),
    overrides: compileOverrides(path, file, parameters, templates, found),
  };
}

/** The templates of one prompt: its own, and those of its model overrides. */
class Templates {
  readonly main: Template;
  readonly #overrides = new Map<string, Template>();
  readonly #types = new Map<string, VariableType | undefined>();
  readonly #used = new Set<string>();

  constructor(
    private readonly path: Path,
    raw: Json,
    private readonly context: PromptContext,
  ) {
    const list = Array.isArray(raw['variables']) ? (raw['variables'] as readonly unknown[]) : [];
    for (const entry of list) {
      if (isObject(entry) && typeof entry['name'] === 'string' && !this.#types.has(entry['name'])) {
        this.#types.set(entry['name'], entry['type'] as VariableType | undefined);
      }
    }
    this.main = this.#compile(['system_template'], raw['system_template']);
    const overrides = isObject(raw['model_overrides']) ? raw['model_overrides'] : {};
    for (const [model, override] of Object.entries(overrides)) {
      if (isObject(override)) this.#overrides.set(model, this.#overridden(model, override));
    }
    this.#checkDeclarations(list);
  }

  of(model: string): Template {
    return this.#overrides.get(model) ?? this.main;
  }

  /**
   * Returns variables for the facts of the gateway that the templates name without declaring them.
   */
  builtIns(): readonly Variable[] {
    return [...this.#used].flatMap((name) => {
      const field = this.#types.has(name) ? undefined : builtInField(name);
      if (field === undefined) return [];
      return [{ name, type: 'string', required: true, rules: {}, binding: { field, automatic: true } } as const];
    });
  }

  #overridden(model: string, override: Json): Template {
    const at = ['model_overrides', model];
    const replaced = override['system_template'];
    return [
      ...this.#compile([...at, 'system_template_prefix'], override['system_template_prefix']),
      ...(replaced === undefined || replaced === '' ? this.main : this.#compile([...at, 'system_template'], replaced)),
      ...this.#compile([...at, 'system_template_suffix'], override['system_template_suffix']),
    ];
  }

  #compile(key: Path, text: unknown): Template {
    if (typeof text !== 'string') return [];
    const { found, fragments, syntax } = this.context;
    const at = [...this.path, ...key];
    const { template, problems } = parseTemplate(text, syntax);
    const expanded = fragments.expand(template);
    for (const problem of [...problems, ...expanded.problems]) found.mistake(at, problem);
    const reported = new Set<string>();
    for (const hole of holesIn(expanded.template)) {
      this.#used.add(hole.name);
      const problem = this.#problemOf(hole);
      if (problem === undefined || reported.has(problem.what)) continue;
      reported.add(problem.what);
      found.mistake(at, problem.what, problem.allowed);
    }
    return expanded.template;
  }

  #problemOf(hole: Hole): { readonly what: string; readonly allowed?: string } | undefined {
    const { name, path } = hole;
    if (!this.#types.has(name)) {
      if (path === undefined && builtInField(name) !== undefined) return undefined;
      if (name === 'artifacts' && path !== undefined) {
        return { what: `names "${holeText(hole)}", an artifact of a workflow, which this gateway does not run` };
      }
      const known = [...this.#types.keys(), ...this.context.fragments.names];
      const what = `names the variable "${name}", which is not declared${hint(name, known)}`;
      return { what, allowed: known.join(', ') || 'none is declared' };
    }
    const type = this.#types.get(name);
    if (path === undefined || type === undefined || type === 'object' || type === 'array') return undefined;
    return { what: `names "${holeText(hole)}", but the variable "${name}" is a ${type}, which has no parts` };
  }

  #checkDeclarations(list: readonly unknown[]): void {
    const { found, fragments } = this.context;
    const declared = list.map((entry) => (isObject(entry) ? entry['name'] : undefined));
    declared.forEach((name, i) => {
      if (typeof name !== 'string') return;
      const here = [...this.path, 'variables', i, 'name'];
      if (fragments.has(name)) found.mistake(here, `"${name}" is also the name of a fragment`);
      else if (declared.indexOf(name) !== i) found.mistake(here, `"${name}" is declared twice`);
      else if (!this.#used.has(name)) found.warning(here, `"${name}" is declared and never used by the template`);
    });
  }
}

function compileOverrides(
  path: Path,
  file: PromptFile,
  parameters: PromptParameters,
  templates: Templates,
  found: Findings,
): ReadonlyMap<string, ModelOverride> {
  const compile = ([model, override]: [string, ModelOverrideFile]): [string, ModelOverride] => {
    const own = compileParameters([...path, 'model_overrides', model, 'parameters'], override.parameters, found);
    return [model, { template: templates.of(model), parameters: { ...parameters, ...own } }];
  };
  return new Map(Object.entries(file.model_overrides).map(compile));
}

function compileParameters(path: Path, parameters: ParametersFile | undefined, found: Findings): PromptParameters {
  if (parameters === undefined) return {};
  if (parameters.top_k !== null) found.notRunKeys(path, parameters, NOT_RUN.parameters);
  const { temperature, top_p: topP, max_tokens: maxTokens } = parameters;
  const { frequency_penalty: frequencyPenalty, presence_penalty: presencePenalty } = parameters;
  return {
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(frequencyPenalty === undefined ? {} : { frequencyPenalty }),
    ...(presencePenalty === undefined ? {} : { presencePenalty }),
  };
}

/** Reports a pipeline with stages beyond those that every turn has. Such a pipeline is not run. */
function checkPipeline(path: Path, { pipeline }: PromptFile, found: Findings): void {
  if (pipeline === undefined) return;
  const parts = [...pipeline.stages, ...(pipeline.middleware ?? []).map(({ type }) => type)];
  if (!parts.every((part) => TURN_STAGES.has(part))) found.notRun([...path, 'pipeline']);
}

function compileGuardrails(
  path: Path,
  { validators }: PromptFile,
  { found, readGuardrails }: PromptContext,
): readonly PromptGuardrail[] {
  const { guardrails, mistakes } = readGuardrails(validators);
  const base = pointer([...path, 'validators']);
  for (const { pointer: inside, what } of mistakes) found.mistakeAt(`${base}${inside}`, what);
  return guardrails;
}
