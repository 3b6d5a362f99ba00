/* Counting: what a runner's report comes to, and the one line that sums it all up. */

/**
 * What jest's JSON report (undefined: there is none) comes to. A suite file that does not load is a failure; so is, where
 * `strict` (in CI), a test that was skipped.
 */
export function tallyJest(report, { strict }) {
  if (report === undefined) return { passed: 0, failed: 1, notes: ['the runner ended without a report'] };
  const skipped = report.numPendingTests + report.numTodoTests;
  const notes = [];
  if (report.numRuntimeErrorTestSuites > 0) notes.push(`${report.numRuntimeErrorTestSuites} files did not load`);
  if (skipped > 0) notes.push(`${skipped} skipped: ${skippedNames(report).join('; ')}`);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites + (strict ? skipped : 0),
    notes,
  };
}

function skippedNames(report) {
  return report.testResults.flatMap((file) =>
    file.assertionResults
      .filter(({ status }) => status === 'pending' || status === 'todo')
      .map(({ fullName }) => fullName),
  );
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
