/*
 * A template, parsed once at load: literal text and named holes. Rendering joins the pieces, so a
 * value can never be read as a template again. Knows nothing of types, values or files.
 *
 * Syntax: `{{name}}` (spaces inside allowed); `{{"{{"}}` or `{{'{{'}}` means two literal braces; a
 * lone `}}` is text.
 */

type Segment = string | { readonly name: string };
export type Template = readonly Segment[];

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const LITERAL_BRACES = new Set(['"{{"', "'{{'"]);

/** The pieces of `source`, and in words what in it is no template. */
export function parseTemplate(source: string): { readonly template: Template; readonly problems: readonly string[] } {
  const template: Segment[] = [];
  const problems: string[] = [];
  let from = 0;
  for (;;) {
    const open = source.indexOf('{{', from);
    if (open < 0) break;
    if (open > from) template.push(source.slice(from, open));
    const close = source.indexOf('}}', open + 2);
    if (close < 0) {
      problems.push(`"{{" at character ${open} is never closed; write {{name}}, or {{"{{"}} for literal braces`);
      return { template, problems };
    }
    const tag = source.slice(open + 2, close).trim();
    if (NAME.test(tag)) template.push({ name: tag });
    else if (LITERAL_BRACES.has(tag)) template.push('{{');
    else {
      const shown = source.slice(open, Math.min(close + 2, open + 40));
      problems.push(
        `"${shown}" at character ${open} is not a variable; write {{name}}, or {{"{{"}} for literal braces; ` +
          'conditions, loops and filters do not exist here',
      );
    }
    from = close + 2;
  }
  if (from < source.length) template.push(source.slice(from));
  return { template, problems };
}

/**
 * The template with every hole that names a fragment replaced by that fragment's pieces, once, at
 * load.
 */
export function expandFragments(template: Template, fragments: ReadonlyMap<string, Template>): Template {
  return template.flatMap((segment) =>
    typeof segment === 'string' ? [segment] : (fragments.get(segment.name) ?? [segment]),
  );
}

export function namesIn(template: Template): ReadonlySet<string> {
  return new Set(template.flatMap((segment) => (typeof segment === 'string' ? [] : [segment.name])));
}
