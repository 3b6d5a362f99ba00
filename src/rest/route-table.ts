/* Which methods each path answers to, so that a wrong method on a known path is told from an unknown path. */

import { SluiceError } from '../domain/errors.js';

export class RouteTable {
  readonly #methods = new Map<string, Set<string>>();

  /** `path` as the router has it: `/v1/responses/:id`. */
  add(method: string, path: string): void {
    const methods = this.#methods.get(path) ?? new Set();
    this.#methods.set(path, methods.add(method));
  }

  /** Methods of the routes that `path` (without its query) matches, sorted; empty: no such path. */
  methodsAt(path: string): string[] {
    const found = new Set<string>();
    for (const [route, methods] of this.#methods) {
      if (matches(route.split('/'), path.split('/'))) for (const method of methods) found.add(method);
    }
    return [...found].sort();
  }
}

/** The refusal of a path that has no route for this method. @param url with or without its query */
export function noRoute(routes: RouteTable, url: string): SluiceError {
  const [path = ''] = url.split('?', 1);
  if (routes.methodsAt(path).length === 0) {
    return new SluiceError('not_found', 'unable to serve this URL; no such path; see PROTOCOL.md');
  }
  const why = 'unable to serve this method here; the Allow header names those that are';
  return new SluiceError('method_not_allowed', why);
}

function matches(route: readonly string[], path: readonly string[]): boolean {
  return (
    route.length === path.length &&
    route.every((part, index) => (part.startsWith(':') ? path[index] !== '' : part === path[index]))
  );
}
