/*
 * Runs the clients of another language as its users do: their packages by the language's own
 * package manager from a lock file, a program of checks against the real gateway, and the snippets
 * of docs/clients.md. Knows no language.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
// @ts-expect-error The scripts run before anything is compiled, so they have no types.
import { onPath as untypedOnPath } from '../../scripts/lib/tools.mjs';
import { answerByQuestion } from '../official/frameworks/script.js';
import { type FakeAnswer, type FakeRequest, textAnswer } from '../support/fake-openai-server.js';
import { GatewayHarness, ONE_TRY } from '../support/gateway-harness.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { execute, type Ran, type Snippet, snippetsOf, withPorts } from '../support/snippets.js';

/**
 * A first run installs packages and compiles them, on a machine that runs other suites beside it.
 */
const PREPARE_WITHIN_MS = 25 * 60_000;

/** A JVM that runs for seconds: optimizing its code costs more than it saves. */
export const QUICK_JVM = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];

/** Maven writes down where it put the packages; the compiler and the program need no more of it. */
const LIST_PACKAGES = 'org.apache.maven.plugins:maven-dependency-plugin:3.9.0:build-classpath';

export interface Language {
  readonly name: string;
  /** How docs/clients.md marks its code. */
  readonly fence: string;
  /** Programs that must be on PATH. Without them the language is left out, in CI it fails. */
  readonly needs: readonly string[];
  /** The programs of `test/languages/FOLDER`, and the checks that each prints. */
  readonly programs: Readonly<Record<string, readonly string[]>>;
  /** Installs its packages. Called once, before everything else. */
  prepare(): Promise<void>;
  /** Runs a program. Undefined if the language has only snippets. */
  run?(program: string, env: NodeJS.ProcessEnv): Promise<Ran>;
  /**
   * Compiles the files of all readers together, which costs less than one after the other. Called
   * once, after `prepare`. Absent: `runCode` needs nothing compiled.
   */
  compile?(codes: readonly string[]): Promise<void>;
  /** Runs one file of a reader. */
  runCode(code: string): Promise<Ran>;
}

/** The models that the frameworks name by themselves, and the one of the checks. */
const MODELS = ['gpt-5.1', 'gpt-5.6-luna'];

export function testLanguage(language: Language): void {
  const { name, needs, programs, run } = language;
  const missing = needs.filter((program) => !onPath(program));
  const leftOut = missing.length > 0 && process.env['CI'] !== 'true';
  (leftOut ? describe.skip : describe)(`the clients of ${name}`, () => {
    let harness: GatewayHarness;
    let demo: TestGateway;
    const snippets = snippetsOf('docs/clients.md').filter((snippet) => snippet.language === language.fence);
    const codeOf = ({ code }: Snippet): string => withPorts(code, { app: demo.port, ops: 0 });
    beforeAll(async () => {
      if (missing.length > 0) throw new Error(`unable to test ${name}; ${missing.join(', ')} is missing; install it`);
      const limits = { per_user: { concurrent_turns: 2 } };
      [harness, demo] = await Promise.all([
        GatewayHarness.start({ config: { clients: { models: MODELS }, limits, middleware: ONE_TRY } }),
        startGateway({ config: { middleware: { template: { source: 'support.pack', default: 'support' } } } }),
        language.prepare(),
      ]);
      harness.provider.answerWith(answer);
      await language.compile?.(snippets.map(codeOf));
    }, PREPARE_WITHIN_MS);
    afterAll(() => Promise.all([harness.close(), demo.close()]));

    for (const [program, checks] of Object.entries(programs)) {
      if (run === undefined) throw new Error(`unable to run ${program}; ${name} has no \`run\`; add it`);
      describe(program, () => {
        let ran: Ran;
        let failures: number;
        beforeAll(async () => {
          const from = harness.provider.requests.length;
          ran = await run(program, { ...process.env, SLUICE_URL: harness.gateway.url });
          failures = harness.provider.requests.slice(from).filter(isFailure).length;
        });

        it.each(checks)('passes the check %s', (check) => {
          if (!ran.output.split('\n').includes(`ok ${check}`)) throw new Error(`it failed:\n${ran.output}`);
        });

        it('ends well, and repeats no turn that failed [ERR-3]', () => {
          expect(ran).toMatchObject({ code: 0 });
          expect(failures).toBe(checks.includes('errors') ? 1 : 0);
        });
      });
    }

    it('have a snippet in docs/clients.md', () => expect(snippets).not.toEqual([]));
    it.each(snippets.map((snippet) => [snippet.place, snippet] as const))(
      'run the snippet at %s',
      async (_place, snippet) => {
        const { code: exit, output } = await language.runCode(codeOf(snippet));
        for (const part of snippet.says) expect(output).toContain(part);
        expect({ exit, output }).toMatchObject({ exit: 0 });
      },
    );
  });
}

const isFailure = ({ body }: FakeRequest): boolean => body.messages.at(-1)?.['content'] === 'fail';

/** As in the matrix of frameworks, and an object for requests with a schema. */
function answer(request: FakeRequest, index: number): FakeAnswer {
  if (request.body.messages.at(-1)?.['content'] === 'json') return textAnswer(['{"city":"Bern"', ',"degrees":7}']);
  return answerByQuestion(request, index);
}

/** Where built programs and installed packages are kept between runs. */
export function cacheOf(language: string): string {
  const folder = resolve('.cache/languages', language);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Runs `make` unless it succeeded before for the same content of these files. */
export async function once(folder: string, files: readonly string[], make: () => Promise<void>): Promise<void> {
  const digest = createHash('sha256');
  for (const file of files) digest.update(readFileSync(file));
  const wanted = digest.digest('hex');
  const stamp = join(folder, '.made-from');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  await make();
  writeFileSync(stamp, wanted);
}

/** Writes the list of packages of `pom` to the file `classPath`. */
export function listPackages(pom: string, classPath: string): Promise<void> {
  const env = { ...process.env, MAVEN_OPTS: [...QUICK_JVM, process.env['MAVEN_OPTS'] ?? ''].join(' ') };
  const where = ['-f', pom, `-Dmdep.outputFile=${classPath}`];
  return must(execute('mvn', ['--batch-mode', '--quiet', ...where, LIST_PACKAGES], { env }));
}

/** @throws Error with the output if it fails */
export async function must(ran: Promise<Ran>): Promise<void> {
  const { code, output } = await ran;
  if (code !== 0) throw new Error(`it ended with ${code}:\n${output}`);
}

const onPath = untypedOnPath as (program: string) => boolean;
