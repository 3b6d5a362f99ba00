/*
 * How long each spec file took when it last ran here, so that the next run starts the longest files
 * first.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const FILE = join(import.meta.dirname, '../../.cache/test/durations.json');

/** @returns milliseconds by file, from the root of the checkout; empty before the first run */
export function readDurations(file = FILE) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
}

/** Keeps the durations of files that did not run this time. */
export function recordDurations(ended, file = FILE) {
  const recorded = readDurations(file);
  for (const one of ended) recorded[one.file] = one.ms;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(recorded, undefined, 1));
}
