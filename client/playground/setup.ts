/*
 * The form for prompt and variables, created from the declarations of the gateway's packs. Knows no
 * client.
 */

import { add, element } from './dom.js';
import { type PromptChoice } from './memory.js';

/** An entry of `GET /v1/prompts`. */
export interface Prompt {
  readonly id: string;
  readonly version: string;
  readonly title: string;
  readonly description: string | null;
  readonly default: boolean;
  readonly variables: readonly Variable[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  readonly default: unknown;
  readonly description: string | null;
  readonly example: unknown;
  readonly enum: readonly unknown[] | null;
}

type Field = HTMLInputElement | HTMLSelectElement;

export class SetupView {
  readonly #root = element<HTMLDetailsElement>('setup');
  readonly #words = element('setup-words');
  readonly #select = element<HTMLSelectElement>('prompt');
  readonly #description = element('prompt-description');
  readonly #variables = element('variables');
  #prompts: readonly Prompt[] = [];
  readonly #fields = new Map<Variable, Field>();

  constructor() {
    this.#select.addEventListener('change', () => this.#choose());
    this.#variables.addEventListener('input', () => this.#showSummary());
  }

  /** Shows the highest version of each prompt. */
  show(prompts: readonly Prompt[]): void {
    this.#prompts = prompts.filter((prompt, i) => prompts.findIndex(({ id }) => id === prompt.id) === i);
    this.#root.hidden = this.#prompts.length === 0;
    this.#select.replaceChildren();
    for (const { id, title, version } of this.#prompts)
      add(this.#select, 'option', '', `${title} (${id} ${version})`).value = id;
    const standard = this.#prompts.find((prompt) => prompt.default);
    if (standard !== undefined) this.#select.value = standard.id;
    this.#choose();
  }

  /** Null: the gateway's default, without variables. */
  get choice(): PromptChoice | null {
    const prompt = this.#prompt;
    if (prompt === undefined) return null;
    const given = [...this.#fields].flatMap(([variable, { value }]) =>
      value === '' ? [] : [[variable.name, valueOf(variable, value)] as const],
    );
    if (prompt.default && given.length === 0) return null;
    return { id: prompt.id, ...(given.length === 0 ? {} : { variables: Object.fromEntries(given) }) };
  }

  get #prompt(): Prompt | undefined {
    return this.#prompts.find(({ id }) => id === this.#select.value);
  }

  #choose(): void {
    const prompt = this.#prompt;
    this.#fields.clear();
    this.#variables.replaceChildren();
    this.#description.textContent = prompt?.description ?? '';
    for (const variable of prompt?.variables ?? []) this.#field(variable);
    this.#showSummary();
  }

  #field(variable: Variable): void {
    const id = `variable-${variable.name}`;
    const field = add(this.#variables, 'p', 'field');
    const label = add(field, 'label', '', `${variable.name.replaceAll('_', ' ')}${variable.required ? ' *' : ''}`);
    label.htmlFor = id;
    const options = variable.type === 'boolean' ? [true, false] : variable.enum;
    let input: Field;
    if (options === null) {
      input = add(field, 'input');
      input.type = variable.type === 'number' ? 'number' : 'text';
      input.placeholder = String(variable.default ?? variable.example ?? '');
    } else {
      input = add(field, 'select');
      add(input, 'option', '', `${wordOf(variable.default)} (as the pack has it)`).value = '';
      for (const option of options) add(input, 'option', '', wordOf(option)).value = String(option);
    }
    input.id = id;
    if (variable.description !== null) field.title = variable.description;
    this.#fields.set(variable, input);
  }

  #showSummary(): void {
    const prompt = this.#prompt;
    const given = Object.entries(this.choice?.variables ?? {}).map(
      ([name, value]) => `${name.replaceAll('_', ' ')}: ${value}`,
    );
    this.#words.textContent = [prompt?.title ?? '', ...given].join(' · ');
  }
}

function wordOf(value: unknown): string {
  return value === true ? 'yes' : value === false ? 'no' : String(value ?? '');
}

function valueOf({ type }: Variable, text: string): string | number | boolean {
  return type === 'number' ? Number(text) : type === 'boolean' ? text === 'true' : text;
}
