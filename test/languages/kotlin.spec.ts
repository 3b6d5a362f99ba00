/* Kotlin: the official client of Java, and frames over OkHttp. Maven brings the compiler. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { execute } from '../support/snippets.js';
import { cacheOf, listPackages, must, once, QUICK_JVM, testLanguage } from './language.js';

const pom = resolve('test/languages/kotlin/pom.xml');
const cache = cacheOf('kotlin');
const classPath = join(cache, 'class-path');
const COMPILER = 'org.jetbrains.kotlin.cli.jvm.K2JVMCompiler';
/** The compiler's own libraries are among the packages already. */
const NO_LIBRARIES = ['-no-stdlib', '-no-reflect', '-nowarn'];

const folder = join(cache, 'snippets');
const classes = join(folder, 'classes');
const packages = (): string => readFileSync(classPath, 'utf8');
/** What was compiled, each in a package of its own. */
const compiled: string[] = [];

testLanguage({
  name: 'Kotlin',
  fence: 'kotlin',
  needs: ['java', 'mvn'],
  programs: {},
  prepare: () => once(cache, [pom], () => listPackages(pom, classPath)),
  compile: async (codes) => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    compiled.push(...codes);
    const files = codes.map((code, i) => {
      const file = join(folder, `Chat${i}.kt`);
      writeFileSync(file, `package reader${i}\n${code}`);
      return file;
    });
    const path = ['-cp', packages()];
    await must(execute('java', [...QUICK_JVM, ...path, COMPILER, ...NO_LIBRARIES, ...path, '-d', classes, ...files]));
  },
  runCode: (code) => {
    const i = compiled.indexOf(code);
    const path = ['-cp', [classes, packages()].join(delimiter)];
    return execute('java', [...QUICK_JVM, ...path, `reader${i}.Chat${i}Kt`]);
  },
});
