/* Python: the official client, sync and async, the Agents SDK and LangChain. */

import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { execute } from '../support/snippets.js';
import { cacheOf, must, once, testLanguage } from './language.js';

const source = resolve('test/languages/python');
const cache = cacheOf('python');
const python = join(cache, 'venv/bin/python');
const requirements = join(source, 'requirements.txt');

testLanguage({
  name: 'Python',
  fence: 'python',
  needs: ['python3'],
  programs: {
    checks: [
      ...['create', 'stream', 'stream helpers', 'parse', 'tools', 'conversations', 'cancel and resume', 'errors'],
      ...['retries', 'async', 'chat completions'],
    ],
    frameworks: ['Agents SDK', 'LangChain, chat completions', 'LangChain, responses'],
  },
  prepare: () =>
    once(cache, [requirements], async () => {
      await must(execute('python3', ['-m', 'venv', '--clear', join(cache, 'venv')]));
      await must(execute(python, ['-m', 'pip', 'install', '--quiet', '--require-hashes', '-r', requirements]));
    }),
  // Only the sources may be in their folder.
  run: (program, env) => execute(python, ['-B', join(source, `${program}.py`)], { env }),
  runCode: (code) => {
    const file = join(cache, 'snippet.py');
    writeFileSync(file, code);
    return execute(python, [file]);
  },
});
