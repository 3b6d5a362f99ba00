/*
 * Renders a prompt with the values of a request to the system text, and appends the instructions of
 * the request. Pure and in one pass, so values are never parsed as templates. Errors name the
 * variable and the rule, never the value.
 */

import { SluiceError } from '../domain/errors.js';
import { didYouMean, quoted } from './names.js';
import { type ModelOverride, type Prompt, type RenderedPrompt } from './prompt.js';
import { bindingValue, builtInField, factOf, ownValue, type Values, type ValueSources } from './sources.js';
import { type Hole, holeText, type Step } from './template.js';
import { checkValue, type Value, type Variable } from './variable.js';

interface Filled {
  /** Undefined: no source has a value. */
  readonly value?: Value;
  readonly text: string;
}

interface RenderOptions extends ValueSources {
  /** The model that will answer, which may have a prompt of its own. */
  readonly model?: string;
}

/**
 * Renders `prompt`. A variable that no source sets takes its default. An optional variable without
 * a default renders as nothing.
 * @param given the values of the request; null counts as absent
 * @throws SluiceError `unknown_variable`, `missing_variable` or `invalid_variable`, each with param
 * `prompt.variables.NAME`
 */
export function renderPrompt(prompt: Prompt, given: Values = {}, options: RenderOptions = {}): RenderedPrompt {
  const override = options.model === undefined ? undefined : prompt.overrides.get(options.model);
  if (!isConstant(prompt, given, options)) return rendered(prompt, override, given, options);
  const { configured } = options;
  const known = constants.get(override ?? prompt);
  if (known !== undefined && known.configured === configured) return known.prompt;
  const constant = rendered(prompt, override, given, options);
  constants.set(override ?? prompt, { configured, prompt: constant });
  return constant;
}

/**
 * Renderings that depend on the configuration only, by the prompt, or by what it changes for a
 * model.
 */
const constants = new WeakMap<
  Prompt | ModelOverride,
  { readonly configured: Values | undefined; readonly prompt: RenderedPrompt }
>();

/**
 * Whether neither the request, nor the credential, nor a fact of the turn sets a variable of the
 * prompt.
 */
function isConstant({ variables }: Prompt, given: Values, { bound = {}, facts }: RenderOptions): boolean {
  if (Object.keys(given).length > 0 || Object.keys(bound).length > 0) return false;
  if (facts === undefined) return true;
  return variables.every(({ name, binding }) => binding === undefined && builtInField(name) === undefined);
}

function rendered(
  prompt: Prompt,
  override: ModelOverride | undefined,
  given: Values,
  options: RenderOptions,
): RenderedPrompt {
  refuseUnknown(prompt, given);
  const filled = new Map(prompt.variables.map((variable) => [variable.name, fill(prompt, variable, given, options)]));
  const system = (override?.template ?? prompt.template)
    .map((segment) => (typeof segment === 'string' ? segment : textAt(prompt, segment, filled.get(segment.name))))
    .join('');
  const { pack, name, version, guardrails, tools } = prompt;
  return { pack, name, version, system, guardrails, tools, parameters: override?.parameters ?? prompt.parameters };
}

/**
 * Appends a request's `instructions` to the rendered prompt. The instructions are not rendered and
 * never replace the prompt. Without a prompt (`middleware.template` off: empty `system`) the result
 * is the instructions; without either it is empty.
 */
export function assembleSystem(system: string, instructions?: string): string {
  const added = instructions?.trim() ?? '';
  if (added === '') return system;
  return system === '' ? added : `${system}\n\n${added}`;
}

function refuseUnknown(prompt: Prompt, given: Values): void {
  const names = prompt.variables.filter(({ binding }) => binding?.automatic !== true).map(({ name }) => name);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    if (prompt.variables.some((variable) => variable.name === name)) throw setByGateway(prompt, name);
    const help =
      didYouMean(name, names) ?? (names.length > 0 ? `it takes ${names.join(', ')}` : 'it takes no variables');
    throw new SluiceError('unknown_variable', `${unable(prompt)}; it has no variable ${quoted(name)}; ${help}`, {
      param: paramOf(name),
    });
  }
}

/** Fills a variable from the first source that has a value, in the order of sources.ts. */
function fill(prompt: Prompt, variable: Variable, given: Values, { bound, configured, facts }: RenderOptions): Filled {
  const { name, binding } = variable;
  const asked = ownValue(given, name);
  const fixed = ownValue(bound, name);
  if (fixed !== undefined && asked !== undefined) throw setByGateway(prompt, name);
  const automatic = binding?.automatic === true ? bindingValue(binding, facts) : undefined;
  const value = fixed ?? automatic ?? asked ?? ownValue(configured, name) ?? factFor(variable, facts);
  if (value === undefined && variable.required) {
    const remedy = binding?.automatic === true ? 'this turn has no value for it' : 'give it in prompt.variables';
    throw new SluiceError('missing_variable', `${unable(prompt)}; the variable "${name}" is required; ${remedy}`, {
      param: paramOf(name),
    });
  }
  return value === undefined ? defaultOf(prompt, variable) : checked(prompt, variable, value);
}

/** Returns the fact that a variable is bound to, or the fact with its name. */
function factFor({ name, binding }: Variable, facts: RenderOptions['facts']): unknown {
  if (facts === undefined) return undefined;
  if (binding !== undefined) return binding.automatic ? undefined : bindingValue(binding, facts);
  const field = builtInField(name);
  return field === undefined ? undefined : factOf(field, facts);
}

/**
 * Caches checked defaults: they never change, and checking one against a pattern costs as much as
 * the rest of a render.
 */
const defaults = new WeakMap<Variable, Filled>();

function defaultOf(prompt: Prompt, variable: Variable): Filled {
  if (variable.default === undefined) return { text: '' };
  let filled = defaults.get(variable);
  if (filled === undefined) {
    filled = checked(prompt, variable, variable.default);
    defaults.set(variable, filled);
  }
  return filled;
}

function checked(prompt: Prompt, variable: Variable, value: unknown): Filled {
  const result = checkValue(variable, value);
  if (result.ok) return result;
  throw new SluiceError('invalid_variable', `${unable(prompt)}; the variable "${variable.name}" ${result.problem}`, {
    param: paramOf(variable.name),
  });
}

/**
 * Returns the text of a hole.
 * @throws SluiceError `missing_variable` if the value lacks the part that the template names
 */
function textAt(prompt: Prompt, hole: Hole, filled: Filled | undefined): string {
  if (hole.path === undefined || filled?.value === undefined) return filled?.text ?? '';
  let part: unknown = filled.value;
  for (const step of hole.path) part = partOf(part, step);
  if (part === undefined || part === null) {
    const name = holeText(hole);
    throw new SluiceError(
      'missing_variable',
      `${unable(prompt)}; "${name}" has no value; give it in prompt.variables`,
      {
        param: paramOf(name),
      },
    );
  }
  return typeof part === 'object' ? JSON.stringify(part) : String(part as Value);
}

function partOf(value: unknown, step: Step): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, step) ? (value as Readonly<Record<Step, unknown>>)[step] : undefined;
}

function setByGateway(prompt: Prompt, name: string): SluiceError {
  return new SluiceError(
    'invalid_variable',
    `${unable(prompt)}; the variable "${name.slice(0, 64)}" is set by the gateway; leave it out`,
    { param: paramOf(name) },
  );
}

function unable(prompt: Prompt): string {
  return `unable to render the prompt ${prompt.pack}/${prompt.name}`;
}

function paramOf(name: string): string {
  return `prompt.variables.${name.slice(0, 64)}`;
}
