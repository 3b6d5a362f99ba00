/* Python: the official client, sync and async, the Agents SDK and LangChain. */

import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { execute } from '../support/snippets.js';
import { cacheOf, must, once, testLanguage } from './language.js';

const source = resolve('test/languages/python');
const cache = cacheOf('python');
const python = join(cache, 'venv/bin/python');
/**
 * Only the modules that are imported are compiled, and outside of the sources. Compiling all
 * packages while they are installed costs more.
 */
const compiling = { PYTHONPYCACHEPREFIX: join(cache, 'compiled'), PYTHONDONTWRITEBYTECODE: '' };
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
      const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile'];
      await must(execute(python, [...install, '--require-hashes', '-r', requirements]));
    }),
  run: (program, env) => execute(python, [join(source, `${program}.py`)], { env: { ...env, ...compiling } }),
  runCode: (code) => {
    const file = join(cache, 'snippet.py');
    writeFileSync(file, code);
    return execute(python, [file], { env: { ...process.env, ...compiling } });
  },
});
