/*
 * Names that people wrote, made fit for a message: cut, in quotes, with the known one that was
 * likely meant.
 */

import { nearest } from '../domain/nearest.js';

/** Characters of a foreign name that are shown. */
const SHOWN = 64;

/** The known name that `name` likely means, as `did you mean X?`; undefined where none is near. */
export function didYouMean(name: string, known: Iterable<string>): string | undefined {
  const likely = nearest(name, known);
  return likely === undefined ? undefined : `did you mean ${likely}?`;
}

/** In quotes, cut so that it cannot flood a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > SHOWN ? `${name.slice(0, SHOWN)}...` : name);
}
