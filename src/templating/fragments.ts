/*
 * Fragments: texts that the prompts of a pack share. They may contain variables and other
 * fragments. They are expanded once, at load. A cycle, an unknown fragment and a text that grows
 * beyond bounds are problems of the pack.
 */

import { didYouMean } from './names.js';
import { type Hole, type Template } from './template.js';

/**
 * `{{fragments.name}}` always names a fragment. `{{name}}` names one if the pack has a fragment of
 * that name.
 */
const NAMESPACE = 'fragments';
/** Most characters of an expanded template. Fragments that contain fragments grow exponentially. */
const EXPANDED_MAX = 1_000_000;
/** Most fragments inside each other. */
const DEPTH_MAX = 100;

export class Fragments {
  readonly #parsed: ReadonlyMap<string, Template>;
  readonly #expanded = new Map<string, Template>();
  readonly #problems = new Map<string, string[]>();

  constructor(parsed: ReadonlyMap<string, Template>) {
    this.#parsed = parsed;
    for (const name of parsed.keys()) this.#expandFragment(name, []);
  }

  get names(): readonly string[] {
    return [...this.#parsed.keys()];
  }

  has(name: string): boolean {
    return this.#parsed.has(name);
  }

  /** The problems of the fragments themselves, by the name of the fragment. */
  get problems(): ReadonlyMap<string, readonly string[]> {
    return this.#problems;
  }

  /** Replaces every hole that names a fragment, and describes what cannot be replaced. */
  expand(template: Template): { readonly template: Template; readonly problems: readonly string[] } {
    return this.#expand(template, []);
  }

  #expand(template: Template, within: readonly string[]): { template: Template; problems: string[] } {
    const problems: string[] = [];
    let size = 0;
    const expanded = template.flatMap((segment) => {
      const pieces = this.#piecesOf(segment, within, problems);
      for (const piece of pieces) size += typeof piece === 'string' ? piece.length : 1;
      return size > EXPANDED_MAX ? [] : pieces;
    });
    if (size > EXPANDED_MAX) problems.push(`expands to more than ${EXPANDED_MAX} characters`);
    return { template: expanded, problems };
  }

  #piecesOf(segment: string | Hole, within: readonly string[], problems: string[]): Template {
    if (typeof segment === 'string') return [segment];
    const name = this.#fragmentOf(segment);
    if (name === undefined) return [segment];
    if (within.includes(name)) {
      problems.push(`is part of a cycle: ${[...within.slice(within.indexOf(name)), name].join(' -> ')}`);
      return [];
    }
    if (within.length >= DEPTH_MAX) {
      problems.push(`names the fragment "${name}" inside ${DEPTH_MAX} others`);
      return [];
    }
    const pieces = this.#parsed.has(name) ? this.#expandFragment(name, within) : undefined;
    if (pieces !== undefined) return pieces;
    const help = didYouMean(name, this.names) ?? `defined are ${this.names.join(', ') || 'none'}`;
    problems.push(`names the fragment "${name}", which is not defined; ${help}`);
    return [];
  }

  /** Returns the name of the fragment in a hole, or undefined if the hole names a variable. */
  #fragmentOf({ name, path }: Hole): string | undefined {
    if (path === undefined) return this.#parsed.has(name) ? name : undefined;
    return name === NAMESPACE && path.length === 1 ? String(path[0]) : undefined;
  }

  #expandFragment(name: string, within: readonly string[]): Template {
    const known = this.#expanded.get(name);
    if (known !== undefined) return known;
    const { template, problems } = this.#expand(this.#parsed.get(name) ?? [], [...within, name]);
    if (problems.length > 0) this.#problems.set(name, problems);
    this.#expanded.set(name, template);
    return template;
  }
}
