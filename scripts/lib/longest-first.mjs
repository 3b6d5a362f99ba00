/*
 * The order in which jest gives spec files to its workers: the longest first, so that no long file
 * starts last, while the other workers are idle. Files that start processes alternate with files
 * that do not, in proportion to their time, so that at no time all workers share the cores with
 * replicas and browsers. A file that has not run here takes as long as it usually does or, if it is
 * not listed, as a long file of its suite, and the longer text comes first. Files that need Helm
 * come last while it is being built.
 */

import { statSync } from 'node:fs';
import { relative } from 'node:path';
import process from 'node:process';
import { readDurations } from './durations.mjs';
import { helmIsMissing } from './helm.mjs';

/** Milliseconds of a long file of a suite, while other suites run beside it. */
const LONG_FILE_MS = {
  chaos: 60_000,
  languages: 40_000,
  system: 40_000,
  operations: 30_000,
  browser: 25_000,
  simulation: 20_000,
  contract: 15_000,
  fuzz: 10_000,
  conformance: 8_000,
  official: 6_000,
};
/** Milliseconds of files that take longer than the others of their suite. */
const LONGER_FILES_MS = {
  'test/browser/hostile-text.spec.ts': 60_000,
  'test/browser/playground.spec.ts': 60_000,
  'test/unit/protocol/largest-requests.spec.ts': 20_000,
  'test/unit/turn/largest-turns.spec.ts': 15_000,
};
/** Suites whose files start processes beside their worker. */
const WITH_PROCESSES = new Set(['chaos', 'languages', 'system', 'operations', 'browser']);
const NEED_HELM = /\/operations\/(?:chart|manifests|kubernetes-api)\.spec\.ts$/;

/** @param durations milliseconds by file @param withoutHelm whether Helm is being built */
export function order(tests, durations, withoutHelm) {
  const expectedMs = ({ path, context }) => {
    const file = relative(process.cwd(), path);
    return durations[file] ?? LONGER_FILES_MS[file] ?? LONG_FILE_MS[context.config.displayName.name] ?? 1_000;
  };
  const isLate = ({ path }) => withoutHelm && NEED_HELM.test(path);
  const startsProcesses = ({ context }) => WITH_PROCESSES.has(context.config.displayName.name);
  const sorted = [...tests].sort(
    (a, b) => expectedMs(b) - expectedMs(a) || size(b) - size(a) || (a.path < b.path ? -1 : 1),
  );
  const early = sorted.filter((test) => !isLate(test));
  const alternating = inProportion(
    early.filter(startsProcesses),
    early.filter((test) => !startsProcesses(test)),
    expectedMs,
  );
  return [...alternating, ...sorted.filter(isLate)];
}

/** Joins two lists so that their shares of the expected time grow alike. Keeps their orders. */
function inProportion(one, other, expectedMs) {
  const lists = [one, other].map((tests) => ({
    waiting: [...tests],
    share: 0,
    totalMs: tests.reduce((sum, test) => sum + expectedMs(test), 0),
  }));
  const joined = [];
  for (;;) {
    const [next] = lists.filter(({ waiting }) => waiting.length > 0).sort((a, b) => a.share - b.share);
    if (next === undefined) return joined;
    const test = next.waiting.shift();
    next.share += expectedMs(test) / next.totalMs;
    joined.push(test);
  }
}

export default class LongestFirst {
  sort(tests) {
    return order(tests, readDurations(), helmIsMissing());
  }

  shard(tests, { shardIndex, shardCount }) {
    return this.sort(tests).filter((_, i) => i % shardCount === shardIndex - 1);
  }

  /** Only durations are remembered between runs, so `--onlyFailures` runs everything. */
  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {}
}

const size = ({ path }) => statSync(path).size;
