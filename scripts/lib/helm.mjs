/*
 * Helm in a fixed version, built by Go into .cache/helm. The first build takes some minutes, so
 * `npm test` starts it before everything else: it needs no npm packages.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { QUICK_GO } from './go.mjs';
import { run } from './run.mjs';
import { onPath } from './tools.mjs';

const VERSION = 'v3.18.6';
const MODULE = `helm.sh/helm/v3/cmd/helm@${VERSION}`;
const FOLDER = join(import.meta.dirname, '../../.cache/helm', VERSION);
/** Go prints each package that it compiles; this is a bound against a hang. */
const STALL_MS = 20 * 60_000;

export const HELM = join(FOLDER, 'helm');

/** Arguments and environment of `go` that build Helm. */
export const HELM_BUILD = {
  args: ['install', '-v', ...QUICK_GO.args, MODULE],
  env: { ...QUICK_GO.env, GOBIN: FOLDER },
};

/** Whether Helm can be built here and has not been built yet. */
export const helmIsMissing = () => !existsSync(HELM) && onPath('go');

/** Builds Helm. A failure is not reported: the tests of the chart build again, and report it. */
export async function buildHelm() {
  await run('go', HELM_BUILD.args, { env: { ...process.env, ...HELM_BUILD.env }, stallMs: STALL_MS });
}
