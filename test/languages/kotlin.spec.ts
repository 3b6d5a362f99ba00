/* Kotlin: the official client of Java, and frames over OkHttp. Maven brings the compiler. */

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { execute } from '../support/snippets.js';
import { cacheOf, LIST_PACKAGES, must, once, testLanguage } from './language.js';

const pom = resolve('test/languages/kotlin/pom.xml');
const cache = cacheOf('kotlin');
const classPath = join(cache, 'class-path');
const COMPILER = 'org.jetbrains.kotlin.cli.jvm.K2JVMCompiler';
/** The compiler runs for seconds, so optimizing its code costs more than it saves. */
const QUICK_START = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
/** The compiler's own libraries are among the packages already. */
const NO_LIBRARIES = ['-no-stdlib', '-no-reflect', '-nowarn'];

testLanguage({
  name: 'Kotlin',
  fence: 'kotlin',
  needs: ['java', 'mvn'],
  programs: {},
  prepare: () =>
    once(cache, [pom], () =>
      must(execute('mvn', ['--batch-mode', '--quiet', '-f', pom, `-Dmdep.outputFile=${classPath}`, LIST_PACKAGES])),
    ),
  runCode: async (code) => {
    const folder = join(cache, createHash('sha256').update(code).digest('hex').slice(0, 16));
    const classes = join(folder, 'classes');
    const source = join(folder, 'Chat.kt');
    const packages = readFileSync(classPath, 'utf8');
    mkdirSync(folder, { recursive: true });
    writeFileSync(source, code);
    const compile = [
      ...QUICK_START,
      '-cp',
      packages,
      COMPILER,
      ...NO_LIBRARIES,
      '-cp',
      packages,
      '-d',
      classes,
      source,
    ];
    await once(folder, [source, pom], () => must(execute('java', compile)));
    return execute('java', ['-cp', [classes, packages].join(delimiter), 'ChatKt']);
  },
});
