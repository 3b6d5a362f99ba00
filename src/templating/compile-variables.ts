/* Checks the variables of a prompt: names, rules, defaults and bindings. Pure. */

import { type Findings, type Path } from './findings.js';
import { type PromptFile, type VariableFile } from './pack-schema.js';
import { compilePattern } from './pattern.js';
import { type Binding, BINDING_KINDS } from './sources.js';
import { checkValue, type Variable, type VariableRules } from './variable.js';

export function compileVariables(path: Path, file: PromptFile, found: Findings): readonly Variable[] {
  return file.variables.map((entry, i) => {
    const at = [...path, 'variables', i];
    const rules = compileRules([...at, 'validation'], entry, found);
    const binding = compileBinding([...at, 'binding'], entry, found);
    const { name, type, required, description, example } = entry;
    const value = entry.default;
    const variable: Variable = {
      name,
      type,
      required,
      rules,
      ...(value === undefined ? {} : { default: value }),
      ...(description === undefined ? {} : { description }),
      ...(example === undefined ? {} : { example }),
      ...(binding === undefined ? {} : { binding }),
    };
    if (value !== undefined) {
      if (required) found.mistake([...at, 'default'], 'has no effect beside required: true', 'one of the two');
      const checked = checkValue(variable, value);
      if (!checked.ok) found.mistake([...at, 'default'], checked.problem);
    }
    return variable;
  });
}

function compileBinding(at: Path, { name, binding }: VariableFile, found: Findings): Binding | undefined {
  if (binding === undefined) return undefined;
  const { kind = 'context', field = name, auto_populate: automatic, filter } = binding;
  if (!BINDING_KINDS.has(kind)) {
    found.notRun(at);
    return undefined;
  }
  return { field, automatic, ...(filter === undefined ? {} : { filter }) };
}

function compileRules(at: Path, { type, validation }: VariableFile, found: Findings): VariableRules {
  if (validation === undefined) return {};
  const { min_length: minLength, max_length: maxLength, minimum, maximum, enum: oneOf, pattern } = validation;
  const forType = (keys: readonly string[], given: readonly unknown[], allowed: boolean): void => {
    keys.forEach((key, i) => {
      if (given[i] !== undefined && !allowed) found.mistake([...at, key], `means nothing for the type ${type}`);
    });
  };
  forType(['pattern', 'min_length'], [pattern, minLength], type === 'string');
  forType(['max_length'], [maxLength], type !== 'number' && type !== 'boolean');
  forType(['minimum', 'maximum'], [minimum, maximum], type === 'number');
  if (minLength !== undefined && maxLength !== undefined && minLength > maxLength) {
    found.mistake([...at, 'min_length'], 'is greater than max_length');
  }
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
    found.mistake([...at, 'minimum'], 'is greater than maximum');
  }
  oneOf?.forEach((value, i) => {
    const checked = checkValue({ name: '', type, required: false, rules: {} }, value);
    if (!checked.ok) found.mistake([...at, 'enum', i], checked.problem);
  });
  let compiled: RegExp | undefined;
  try {
    if (pattern !== undefined) compiled = compilePattern(pattern);
  } catch {
    found.mistake([...at, 'pattern'], 'is no regular expression (JavaScript syntax)');
  }
  return {
    ...(compiled === undefined ? {} : { pattern: compiled }),
    ...(minLength === undefined ? {} : { minLength }),
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(oneOf === undefined ? {} : { oneOf }),
  };
}
