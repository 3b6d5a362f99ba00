/* Java: the official client. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { execute, type Ran } from '../support/snippets.js';
import { cacheOf, listPackages, must, once, QUICK_JVM, testLanguage } from './language.js';

const source = resolve('test/languages/java');
const cache = cacheOf('java');
const classPath = join(cache, 'class-path');

const COMPILER_JVM = QUICK_JVM.map((option) => `-J${option}`);

const compile = (file: string, to: string): Promise<void> =>
  must(execute('javac', [...COMPILER_JVM, '-cp', readFileSync(classPath, 'utf8'), '-d', to, file]));
const start = (name: string, classes: string, env = process.env): Promise<Ran> =>
  execute('java', [...QUICK_JVM, '-cp', [classes, readFileSync(classPath, 'utf8')].join(delimiter), name], { env });

testLanguage({
  name: 'Java',
  fence: 'java',
  needs: ['javac', 'mvn'],
  programs: {
    Checks: [
      ...['create', 'stream', 'structured output', 'tools', 'conversations', 'cancel and resume', 'errors', 'retries'],
      ...['async', 'chat completions'],
    ],
  },
  prepare: () =>
    once(cache, [join(source, 'pom.xml'), join(source, 'Checks.java')], async () => {
      await listPackages(join(source, 'pom.xml'), classPath);
      await compile(join(source, 'Checks.java'), join(cache, 'classes'));
    }),
  run: (program, env) => start(program, join(cache, 'classes'), env),
  runCode: async (code) => {
    const folder = join(cache, 'snippet');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'Chat.java'), code);
    await compile(join(folder, 'Chat.java'), folder);
    return start('Chat', folder);
  },
});
