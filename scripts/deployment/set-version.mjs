/*
 * Sets image and version in k8s/base/deployment.yaml, so that an apply of the tree runs what the
 * cluster runs. Then: npm run render.
 *   node scripts/deployment/set-version.mjs registry.example.com/support-bot:1.1.0          the version is the tag
 *   node scripts/deployment/set-version.mjs registry.example.com/support-bot@sha256:… 1.1.0
 */

import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

const [image = '', given] = process.argv.slice(2);
const file = process.env.DEPLOYMENT_FILE ?? new URL('../../k8s/base/deployment.yaml', import.meta.url);
const [named = ''] = image.split('@');
const tag = /:([\w][\w.-]{0,127})$/.exec(named.slice(named.lastIndexOf('/') + 1))?.[1];
const version = given ?? tag;
if (!/^[\w.-]+(:\d+)?[\w./-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/.test(image) || version === undefined) {
  process.stderr.write('usage: node scripts/deployment/set-version.mjs IMAGE [VERSION]\n');
  process.exit(64);
}
const before = readFileSync(file, 'utf8');
const after = before
  .replace(/^( +)image: .*$/m, `$1image: ${image}`)
  .replaceAll(/^( +)version: .*$/gm, `$1version: ${version}`);
writeFileSync(file, after);
process.stdout.write(
  before === after ? 'nothing changed\n' : 'k8s/base/deployment.yaml changed; run: npm run render\n',
);
