/*
 * JSON as a tree that may also hold what no JavaScript value can: duplicate names, the name
 * `__proto__`, numbers of any length, text that is not JSON. Fuzzing changes trees and sends their
 * text.
 */

/** Written as it is. */
export class Raw {
  constructor(readonly text: string) {}
}

/** An object, with its fields in order; names may repeat. */
export class Fields {
  constructor(readonly entries: (readonly [string, Tree])[]) {}
}

export type Tree = string | number | boolean | null | Raw | Fields | Tree[];

/** Converts a JSON value. */
export function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return value.map(treeOf);
  if (typeof value === 'object' && value !== null) {
    return new Fields(Object.entries(value).map(([name, inner]) => [name, treeOf(inner)]));
  }
  // What is left of JSON's values.
  return value as string | number | boolean | null;
}

export function textOf(tree: Tree): string {
  if (tree instanceof Raw) return tree.text;
  if (Array.isArray(tree)) return `[${tree.map(textOf).join(',')}]`;
  if (tree instanceof Fields) {
    return `{${tree.entries.map(([name, inner]) => `${JSON.stringify(name)}:${textOf(inner)}`).join(',')}}`;
  }
  return JSON.stringify(tree);
}

/** One change of a tree. */
export interface Mutation {
  /** Which place, counted over all places of the tree. */
  readonly at: number;
  readonly kind: (typeof MUTATIONS)[number];
  readonly name: string;
  readonly value: Tree;
  readonly times: number;
}

export const MUTATIONS = ['replace', 'remove', 'add', 'double', 'rename', 'nest', 'repeat', 'swap'] as const;

/** Returns a changed copy. */
export function mutated(tree: Tree, mutations: readonly Mutation[]): Tree {
  return mutations.reduce(mutatedOnce, tree);
}

function mutatedOnce(tree: Tree, mutation: Mutation): Tree {
  let left = mutation.at % placesIn(tree);
  const walk = (place: Tree): Tree => {
    if (left < 0) return place;
    if (left-- === 0) return changed(place, mutation);
    if (Array.isArray(place)) return place.map(walk);
    if (place instanceof Fields) return new Fields(place.entries.map(([name, inner]) => [name, walk(inner)]));
    return place;
  };
  return walk(tree);
}

function placesIn(tree: Tree): number {
  if (Array.isArray(tree)) return tree.reduce<number>((sum, inner) => sum + placesIn(inner), 1);
  return tree instanceof Fields ? tree.entries.reduce((sum, [, inner]) => sum + placesIn(inner), 1) : 1;
}

function changed(place: Tree, { kind, name, value, times, at }: Mutation): Tree {
  if (kind === 'nest') return nested(place, times, name);
  if (kind === 'replace') return value;
  if (place instanceof Fields) return new Fields(changedEntries(place.entries, { kind, name, value, times, at }));
  if (Array.isArray(place)) {
    const index = place.length === 0 ? 0 : at % place.length;
    const own = place[index] ?? value;
    if (kind === 'remove') return place.filter((_, i) => i !== index);
    if (kind === 'repeat') return [...place, ...Array.from({ length: times }, () => own)];
    return kind === 'swap' ? place.toReversed() : [...place, kind === 'double' ? own : value];
  }
  if (kind === 'repeat' && typeof place === 'string') return place.repeat(Math.min(times, 2_000));
  return kind === 'double' ? [place, place] : value;
}

function changedEntries(
  entries: readonly (readonly [string, Tree])[],
  { kind, name, value, times, at }: Mutation,
): (readonly [string, Tree])[] {
  const index = entries.length === 0 ? 0 : at % entries.length;
  const own = entries[index];
  if (own === undefined || kind === 'add') return [...entries, [name, value]];
  if (kind === 'remove') return entries.filter((_, i) => i !== index);
  if (kind === 'double') return [...entries, [own[0], value]];
  if (kind === 'rename') return entries.map((entry, i) => (i === index ? [name, entry[1]] : entry));
  if (kind === 'swap') return entries.toReversed();
  return [...entries, ...Array.from({ length: times }, (_, i) => [`${name}${i}`, own[1]] as const)];
}

function nested(inner: Tree, levels: number, name: string): Tree {
  const [open, close] = levels % 2 === 0 ? ['[', ']'] : [`{${JSON.stringify(name)}:`, '}'];
  return new Raw(`${open.repeat(levels)}${textOf(inner)}${close.repeat(levels)}`);
}
