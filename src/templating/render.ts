/*
 * Renders a prompt with the values of a request to the system text. Pure and in one pass, so values
 * are never parsed as templates. Errors name the variable and the rule, never the value.
 */

import { SluiceError } from '../domain/errors.js';
import { didYouMean, quoted } from './names.js';
import { type Prompt, type RenderedPrompt } from './prompt.js';
import { checkValue, type Variable } from './variable.js';

type GivenVariables = Readonly<Record<string, unknown>>;

/**
 * Renders `prompt`. An absent (or null) variable takes its default. An optional variable without a
 * default renders as nothing. @throws SluiceError `unknown_variable`, `missing_variable` or
 * `invalid_variable`, each with param `prompt.variables.NAME`
 */
export function renderPrompt(prompt: Prompt, given: GivenVariables = {}): RenderedPrompt {
  refuseUnknown(prompt, given);
  const texts = new Map(prompt.variables.map((variable) => [variable.name, textOf(prompt, variable, given)]));
  const system = prompt.template
    .map((segment) => (typeof segment === 'string' ? segment : (texts.get(segment.name) ?? '')))
    .join('');
  const { pack, name, version, guardrails, parameters } = prompt;
  return { pack, name, version, system, guardrails, parameters };
}

function refuseUnknown(prompt: Prompt, given: GivenVariables): void {
  const names = prompt.variables.map((variable) => variable.name);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const help =
      didYouMean(name, names) ?? (names.length > 0 ? `it takes ${names.join(', ')}` : 'it takes no variables');
    throw new SluiceError('unknown_variable', `${unable(prompt)}; it has no variable ${quoted(name)}; ${help}`, {
      param: paramOf(name),
    });
  }
}

function textOf(prompt: Prompt, variable: Variable, given: GivenVariables): string {
  const value = Object.hasOwn(given, variable.name) ? (given[variable.name] ?? undefined) : undefined;
  if (value === undefined && variable.required) {
    throw new SluiceError(
      'missing_variable',
      `${unable(prompt)}; the variable "${variable.name}" is required; give it in prompt.variables`,
      { param: paramOf(variable.name) },
    );
  }
  if (value === undefined) return defaultTextOf(prompt, variable);
  return checkedText(prompt, variable, value);
}

/**
 * Caches checked defaults: they never change, and checking one against a pattern costs as much as
 * the rest of a render.
 */
const defaultTexts = new WeakMap<Variable, string>();

function defaultTextOf(prompt: Prompt, variable: Variable): string {
  if (variable.default === undefined) return '';
  let text = defaultTexts.get(variable);
  if (text === undefined) {
    text = checkedText(prompt, variable, variable.default);
    defaultTexts.set(variable, text);
  }
  return text;
}

function checkedText(prompt: Prompt, variable: Variable, value: unknown): string {
  const checked = checkValue(variable, value);
  if (checked.ok) return checked.text;
  throw new SluiceError('invalid_variable', `${unable(prompt)}; the variable "${variable.name}" ${checked.problem}`, {
    param: paramOf(variable.name),
  });
}

function unable(prompt: Prompt): string {
  return `unable to render the prompt ${prompt.pack}/${prompt.name}`;
}

function paramOf(name: string): string {
  return `prompt.variables.${name.slice(0, 64)}`;
}
