/* Shared by the templating tests: a small valid pack to modify, and prompts compiled from one. */

import { compilePack } from '../../../src/templating/compile-pack.js';
import { type Prompt } from '../../../src/templating/prompt.js';
import { guardrailsFrom } from '../../../src/validation/read-guardrails.js';

export interface PromptDraft {
  readonly template?: string;
  readonly variables?: readonly unknown[];
  readonly more?: Readonly<Record<string, unknown>>;
}

export function promptFile(name: string, { template = 'Hello.', variables = [], more = {} }: PromptDraft = {}): object {
  return { id: name, name: `The ${name}`, version: '1.0.0', system_template: template, variables, ...more };
}

export function packFile(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id: 'shop',
    name: 'Shop',
    version: '1.0.0',
    template_engine: { version: 'v1', syntax: '{{variable}}' },
    prompts: { greet: promptFile('greet') },
    ...more,
  };
}

/** Compiles the prompt `greet` of a pack. Throws the mistakes that compiling finds. */
export function compiled(draft: PromptDraft, more: Readonly<Record<string, unknown>> = {}): Prompt {
  const { pack, mistakes } = compilePack(
    't.pack.json',
    packFile({ prompts: { greet: promptFile('greet', draft) }, ...more }),
    { readGuardrails: guardrailsFrom },
  );
  const prompt = pack?.prompts[0];
  if (prompt === undefined) throw new Error(JSON.stringify(mistakes));
  return prompt;
}

export function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
