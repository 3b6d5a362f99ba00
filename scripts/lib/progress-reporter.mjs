/*
 * A jest reporter that sends each started file, ended test and ended file to the process that
 * started jest. That process counts them, and sees from them that the run makes progress.
 */

import { relative } from 'node:path';
import process from 'node:process';

export default class ProgressReporter {
  onTestFileStart({ path }) {
    send({ type: 'started', file: fileOf(path) });
  }

  onTestCaseResult({ path }, { fullName }) {
    send({ type: 'test', file: fileOf(path), name: fullName });
  }

  onTestFileResult({ path }, result) {
    const names = (...statuses) =>
      result.testResults.filter(({ status }) => statuses.includes(status)).map(({ fullName }) => fullName);
    send({
      type: 'ended',
      file: fileOf(path),
      passed: result.numPassingTests,
      failed: names('failed'),
      skipped: names('pending', 'todo'),
      // A file that does not load, or a worker that died, ends without tests.
      broken: Boolean(result.testExecError),
      ms: result.perfStats.end - result.perfStats.start,
    });
  }
}

function fileOf(path) {
  return relative(process.cwd(), path);
}

/** Without a parent that listens, as in a direct call of jest, nothing is sent. */
function send(message) {
  if (process.connected) process.send(message);
}
