/* Go: the official client. */

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
// @ts-expect-error The scripts run before anything is compiled, so they have no types.
import { QUICK_GO as untypedQuickGo } from '../../scripts/lib/go.mjs';
import { execute } from '../support/snippets.js';
import { cacheOf, must, once, testLanguage } from './language.js';

const QUICK_GO = untypedQuickGo as { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> };
const source = resolve('test/languages/go');
const cache = cacheOf('go');
const locks = ['go.mod', 'go.sum'];
/**
 * What the lock file does not name may not come in. Go keeps its own cache of modules and of
 * builds.
 */
const build = (folder: string, to: string): Promise<void> =>
  must(
    execute('go', ['build', '-mod=readonly', ...QUICK_GO.args, '-o', to, '.'], {
      cwd: folder,
      env: { ...process.env, ...QUICK_GO.env },
    }),
  );

testLanguage({
  name: 'Go',
  fence: 'go',
  needs: ['go'],
  programs: {
    checks: [
      ...['create', 'stream', 'tools', 'conversations', 'cancel and resume', 'errors', 'retries', 'chat completions'],
    ],
  },
  prepare: () =>
    once(
      cache,
      [...locks, 'main.go'].map((name) => join(source, name)),
      () => build(source, join(cache, 'checks')),
    ),
  run: (program, env) => execute(join(cache, program), [], { env }),
  runCode: async (code) => {
    const folder = join(cache, 'snippet');
    mkdirSync(folder, { recursive: true });
    for (const name of locks) copyFileSync(join(source, name), join(folder, name));
    writeFileSync(join(folder, 'main.go'), code);
    await build(folder, join(cache, 'snippet.out'));
    return execute(join(cache, 'snippet.out'), []);
  },
});
