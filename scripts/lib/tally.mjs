/* Counts the messages of a jest run, suite by suite, and renders the last line of a test run. */

/** Collects the messages of scripts/lib/progress-reporter.mjs. */
export class Progress {
  /** Files that have started and not ended. */
  running = new Set();
  #ended = new Map();

  take(message) {
    if (message.type === 'started') this.running.add(message.file);
    if (message.type !== 'ended') return;
    this.running.delete(message.file);
    this.#ended.set(message.file, message);
  }

  /**
   * Counts the files under test/SUITE. A file that does not load, or that started and did not end,
   * is a failure. With `strict` (in CI) a skipped test is a failure, too.
   */
  tally(suite, { strict }) {
    const isOfSuite = (file) => file.startsWith(`test/${suite}/`);
    const ended = [...this.#ended.values()].filter(({ file }) => isOfSuite(file));
    const broken = ended.filter((file) => file.broken).map(({ file }) => file);
    const cut = [...this.running].filter(isOfSuite);
    const skipped = ended.flatMap((file) => file.skipped);
    const failed = ended.flatMap((file) => file.failed.map((name) => `${file.file}: ${name}`));
    const notes = [];
    if (broken.length > 0) notes.push(`did not load: ${broken.join(', ')}`);
    if (cut.length > 0) notes.push(`did not end: ${cut.join(', ')}`);
    if (skipped.length > 0) notes.push(`${skipped.length} skipped: ${skipped.join('; ')}`);
    return {
      passed: ended.reduce((sum, file) => sum + file.passed, 0),
      failed: failed.length + broken.length + cut.length + (strict ? skipped.length : 0),
      failures: failed,
      notes,
      ms: ended.reduce((sum, file) => sum + file.ms, 0),
    };
  }

  /** The files that took longest, longest first. */
  slowest(count) {
    return [...this.#ended.values()].sort((a, b) => b.ms - a.ms).slice(0, count);
  }
}

export function sum(tallies) {
  return tallies.reduce((all, one) => ({ passed: all.passed + one.passed, failed: all.failed + one.failed }), {
    passed: 0,
    failed: 0,
  });
}

/** The last line of every test run. */
export function lastLine({ passed, failed }) {
  return `${passed} passed, ${failed} failed`;
}
