/*
 * Holds all loaded prompts and implements the one rule by which a request selects a prompt.
 * Immutable after loading. Reads no file and renders nothing.
 */

import { SluiceError } from '../domain/errors.js';
import { didYouMean, quoted } from './names.js';
import { describeMistake, type PackMistake } from './pack-mistake.js';
import { compareVersions, isPrerelease } from './pack-version.js';
import { type PackMetadata, type Prompt } from './prompt.js';
import { type Variable, type VariableType } from './variable.js';

/** The public description of a prompt: everything except its text. */
export interface PromptListing {
  readonly pack: string;
  readonly name: string;
  readonly version: string;
  readonly title: string;
  readonly description: string | null;
  /** The pack's own description: domain, language, tags. */
  readonly metadata: PackMetadata;
  /** Names of the tools that the prompt offers to the model. */
  readonly tools: readonly string[];
  readonly variables: readonly {
    readonly name: string;
    readonly type: VariableType;
    readonly required: boolean;
    readonly default: unknown;
    readonly description: string | null;
    readonly example: unknown;
    /** The allowed values, if the pack lists them. */
    readonly enum: readonly unknown[] | null;
  }[];
}

/** The prompts and versions that a configuration names. */
export interface NamedPrompts {
  readonly default: string | null;
  /** Versions with their weights, by prompt. */
  readonly canary: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly shadow: Readonly<Record<string, { readonly version: string }>>;
}

export class PromptRegistry {
  private readonly prompts: readonly Prompt[];
  /** What `find` returned for each id without a version. Bounded by the prompts that are loaded. */
  private readonly newest = new Map<string, Prompt>();
  /** Warnings of loading, one sentence each, to log at start. */
  readonly warnings: readonly string[];

  constructor(prompts: readonly Prompt[], warnings: readonly PackMistake[] = []) {
    this.prompts = [...prompts].sort(byName);
    this.warnings = warnings.map(describeMistake);
  }

  /**
   * Requires that every prompt and version that a configuration names is loaded.
   * @throws as `find`
   */
  requireNamed({ default: standard, canary, shadow }: NamedPrompts): void {
    if (standard !== null) this.find(standard);
    for (const [id, weights] of Object.entries(canary)) {
      for (const version of Object.keys(weights)) this.find(id, version);
    }
    for (const [id, { version }] of Object.entries(shadow)) this.find(id, version);
  }

  /**
   * Finds a prompt. `id` is `pack/prompt`, or the name of the prompt if only one pack has it.
   * `version` is the pack's; the default is the highest release that has the prompt, or the highest
   * pre-release if there is no release. @throws SluiceError `prompt_not_found` (param `prompt.id`
   * or `prompt.version`), or `invalid_value` (param `prompt.id`, ambiguous)
   */
  find(id: string, version?: string): Prompt {
    if (version !== undefined) return this.search(id, version);
    let newest = this.newest.get(id);
    if (newest === undefined) this.newest.set(id, (newest = this.search(id)));
    return newest;
  }

  private search(id: string, version?: string): Prompt {
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

  /**
   * Public descriptions of every prompt in every version, by pack and name, highest version first.
   */
  list(): readonly PromptListing[] {
    return this.prompts.map(({ pack, name, version, title, description, variables, metadata, tools }) => ({
      pack,
      name,
      version,
      title,
      description,
      metadata,
      tools: tools.offered.map((tool) => tool.name),
      variables: variables.filter(isAsked).map((variable) => ({
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

/** Whether a request may set the variable. */
function isAsked({ binding }: Variable): boolean {
  return binding?.automatic !== true;
}

function byName(a: Prompt, b: Prompt): number {
  return a.pack.localeCompare(b.pack) || a.name.localeCompare(b.name) || (compareVersions(b.version, a.version) ?? 0);
}
