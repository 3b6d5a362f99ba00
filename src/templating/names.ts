/*
 * Formats names from user input for a message: truncated, in quotes, with the nearest known name.
 */

import { nearest } from '../domain/nearest.js';

/** Most characters of a name in a message. */
const SHOWN = 64;

/** Returns the nearest known name as `did you mean X?`, or undefined if none is near. */
export function didYouMean(name: string, known: Iterable<string>): string | undefined {
  const likely = nearest(name, known);
  return likely === undefined ? undefined : `did you mean ${likely}?`;
}

/** Quotes and truncates a name, so that it cannot flood a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > SHOWN ? `${name.slice(0, SHOWN)}...` : name);
}
