/*
 * The methods of each path, to distinguish a wrong method on a known path (405) from an unknown
 * path (404).
 */

import { SluiceError } from '../domain/errors.js';

export class RouteTable {
  readonly #methods = new Map<string, Set<string>>();

  /** Adds a route. @param path as in the router: `/v1/responses/:id` */
  add(method: string, path: string): void {
    const methods = this.#methods.get(path) ?? new Set();
    this.#methods.set(path, methods.add(method));
  }

  /**
   * Returns the sorted methods of the routes that match `path` (without its query). Empty if the
   * path is unknown.
   */
  methodsAt(path: string): string[] {
    const found = new Set<string>();
    for (const [route, methods] of this.#methods) {
      if (matches(route.split('/'), path.split('/'))) for (const method of methods) found.add(method);
    }
    return [...found].sort();
  }
}

/**
 * Creates the refusal for a path without a route for this method.
 * @param url with or without its query
 */
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
