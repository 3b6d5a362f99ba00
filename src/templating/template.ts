/*
 * A template, parsed once at load: literal text and named holes. Rendering joins the pieces, so a
 * value can never be read as a template again. Knows nothing of types, values or files.
 *
 * Syntax: `{{name}}` (spaces inside allowed), `{{name.field}}` and `{{name[0]}}` for a part of an
 * object or array; `{{"{{"}}` or `{{'{{'}}` means two literal braces; a lone `}}` is text.
 */

import { DOUBLE_BRACES, type Syntax } from './syntax.js';

/** A key of an object, or an index of an array. */
export type Step = string | number;

export interface Hole {
  readonly name: string;
  /** The part of the value that is inserted. Absent: the whole value. */
  readonly path?: readonly Step[];
}
type Segment = string | Hole;
export type Template = readonly Segment[];

const TAG = /^([a-zA-Z_][a-zA-Z0-9_]*)((?:\.[a-zA-Z0-9_-]+|\[\d{1,9}\])*)$/;
const STEPS = /\.([a-zA-Z0-9_-]+)|\[(\d+)\]/g;

/** Returns the pieces of `source`, and a description of each mistake in it. */
export function parseTemplate(
  source: string,
  { open: opening, close: closing, lenient }: Syntax = DOUBLE_BRACES,
): { readonly template: Template; readonly problems: readonly string[] } {
  const template: Segment[] = [];
  const problems: string[] = [];
  const form = `write ${opening}name${closing}, or ${opening}"${opening}"${closing} for literal braces`;
  let from = 0;
  /** Where the literal text that is not in `template` yet begins. */
  let text = 0;
  const add = (until: number, segment: Segment, next: number): void => {
    if (until > text) template.push(source.slice(text, until));
    template.push(segment);
    from = text = next;
  };
  for (;;) {
    const open = source.indexOf(opening, from);
    if (open < 0) break;
    const inside = open + opening.length;
    const close = source.indexOf(closing, inside);
    if (close < 0) {
      if (lenient) break;
      problems.push(`"${opening}" at character ${open} is never closed; ${form}`);
      return { template, problems };
    }
    const next = close + closing.length;
    const tag = source.slice(inside, close).trim();
    const hole = holeOf(tag);
    if (hole !== undefined) add(open, hole, next);
    else if (tag === `"${opening}"` || tag === `'${opening}'`) add(open, opening, next);
    else if (lenient) from = inside;
    else {
      const shown = source.slice(open, Math.min(next, open + 40));
      problems.push(
        `"${shown}" at character ${open} is not a variable; ${form}; conditions, loops and filters do not exist here`,
      );
      from = text = next;
    }
  }
  if (text < source.length) template.push(source.slice(text));
  return { template, problems };
}

function holeOf(tag: string): Hole | undefined {
  const found = TAG.exec(tag);
  if (found === null) return undefined;
  const [, name = '', rest = ''] = found;
  if (rest === '') return { name };
  const path = [...rest.matchAll(STEPS)].map(([, key, index]) => key ?? Number(index));
  return { name, path };
}

/** Returns a hole as the template writes it, without brackets. */
export function holeText({ name, path = [] }: Hole): string {
  return name + path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');
}

export function holesIn(template: Template): readonly Hole[] {
  return template.filter((segment) => typeof segment !== 'string');
}
