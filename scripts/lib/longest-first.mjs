/*
 * The order in which jest gives spec files to its workers: suites with long files first, inside a suite the longest text.
 * So no long file starts last, while the other workers are idle.
 */

import { statSync } from 'node:fs';

const LONG_FILES_FIRST = [
  'chaos',
  'simulation',
  'system',
  'operations',
  'browser',
  'contract',
  'conformance',
  'official',
];

export default class LongestFirst {
  sort(tests) {
    return [...tests].sort((a, b) => rank(a) - rank(b) || size(b) - size(a) || (a.path < b.path ? -1 : 1));
  }

  shard(tests, { shardIndex, shardCount }) {
    return this.sort(tests).filter((_, i) => i % shardCount === shardIndex - 1);
  }

  /** Nothing is remembered between runs, so `--onlyFailures` runs everything. */
  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {}
}

function rank({ context }) {
  const at = LONG_FILES_FIRST.indexOf(context.config.displayName.name);
  return at < 0 ? LONG_FILES_FIRST.length : at;
}

const size = ({ path }) => statSync(path).size;
