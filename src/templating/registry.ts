/*
 * All loaded prompts, and the one rule by which a request chooses among them. Nothing in it changes
 * after loading. Knows no file and renders nothing.
 */

import { SluiceError } from '../domain/errors.js';
import { didYouMean, quoted } from './names.js';
import { describeMistake, type PackMistake } from './pack-mistake.js';
import { compareVersions, isPrerelease } from './pack-version.js';
import { type Prompt } from './prompt.js';
import { type VariableType } from './variable.js';

/** What may be shown of a prompt: everything but its text. */
export interface PromptListing {
  readonly pack: string;
  readonly name: string;
  readonly version: string;
  readonly title: string;
  readonly description: string | null;
  readonly variables: readonly {
    readonly name: string;
    readonly type: VariableType;
    readonly required: boolean;
    readonly default: unknown;
    readonly description: string | null;
    readonly example: unknown;
    /** The allowed values, where the pack lists them. */
    readonly enum: readonly unknown[] | null;
  }[];
}

export class PromptRegistry {
  private readonly prompts: readonly Prompt[];
  /** What loading found odd and let pass, one sentence each: log them at start. */
  readonly warnings: readonly string[];

  constructor(prompts: readonly Prompt[], warnings: readonly PackMistake[] = []) {
    this.prompts = [...prompts].sort(byName);
    this.warnings = warnings.map(describeMistake);
  }

  /**
   * `id`: `pack/prompt`, or the prompt's name where only one pack has it. `version`: the pack's;
   * without it the highest release that has the prompt (a pre-release only where there is nothing
   * else).
   * @throws SluiceError `prompt_not_found` (param `prompt.id` or `prompt.version`), `invalid_value`
   * (param `prompt.id`, ambiguous)
   */
  find(id: string, version?: string): Prompt {
    const slash = id.indexOf('/');
    const pack = slash < 0 ? undefined : id.slice(0, slash);
    const name = id.slice(slash + 1);
    const named = this.prompts.filter((prompt) => prompt.name === name && (pack === undefined || prompt.pack === pack));
    if (named.length === 0) throw this.notFound(id);

    const full = [...new Set(named.map(fullName))];
    if (full.length > 1) {
      throw new SluiceError(
        'invalid_value',
        `unable to choose the prompt ${quoted(id)}; several packs have it; name one of ${full.join(', ')}`,
        {
          param: 'prompt.id',
        },
      );
    }
    const chosen =
      version === undefined
        ? (named.find((prompt) => !isPrerelease(prompt.version)) ?? named[0])
        : named.find((prompt) => compareVersions(prompt.version, version) === 0);
    if (chosen !== undefined) return chosen;
    const versions = named.map((prompt) => prompt.version).join(', ');
    throw new SluiceError(
      'prompt_not_found',
      `unable to find version ${quoted(version ?? '')} of the prompt ${full.join('')}; it is not loaded; use one of ${versions}, or none for the highest`,
      { param: 'prompt.version' },
    );
  }

  /** Every prompt in every version. */
  all(): readonly Prompt[] {
    return this.prompts;
  }

  /** What may be shown: every prompt in every version, by pack and name, highest version first. */
  list(): readonly PromptListing[] {
    return this.prompts.map(({ pack, name, version, title, description, variables }) => ({
      pack,
      name,
      version,
      title,
      description,
      variables: variables.map((variable) => ({
        name: variable.name,
        type: variable.type,
        required: variable.required,
        default: variable.default ?? null,
        description: variable.description ?? null,
        example: variable.example ?? null,
        enum: variable.rules.oneOf ?? null,
      })),
    }));
  }

  private notFound(id: string): SluiceError {
    const names = new Set(this.prompts.map((prompt) => (id.includes('/') ? fullName(prompt) : prompt.name)));
    const help = didYouMean(id, names) ?? `loaded are ${[...names].slice(0, 10).join(', ')}`;
    return new SluiceError(
      'prompt_not_found',
      `unable to find the prompt ${quoted(id)}; no loaded pack has it; ${help}`,
      {
        param: 'prompt.id',
      },
    );
  }
}

function fullName(prompt: Prompt): string {
  return `${prompt.pack}/${prompt.name}`;
}

function byName(a: Prompt, b: Prompt): number {
  return a.pack.localeCompare(b.pack) || a.name.localeCompare(b.name) || (compareVersions(b.version, a.version) ?? 0);
}
