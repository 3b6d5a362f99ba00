/*
 * The licences of what is shipped: every production dependency, and every package in the browser's
 * files, must have a licence that requires attribution only.
 */

import { existsSync, readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);
/**
 * Development dependencies that scripts/development/build-client.mjs puts into the browser's files.
 */
export const BUNDLED = ['dompurify', 'marked'];
const ALLOWED = new Set([
  'MIT',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'Unlicense',
  'Python-2.0',
]);

/** `(MIT OR Apache-2.0)`: one is enough; `MIT AND ISC`: all are needed. */
export function isAllowed(expression) {
  const plain = expression.replace(/[()]/g, '');
  return plain.split(' OR ').some((choice) => choice.split(' AND ').every((licence) => ALLOWED.has(licence.trim())));
}

function licenceOf(path) {
  const file = new URL(`${path}/package.json`, ROOT);
  if (!existsSync(file)) return undefined;
  const { license, licenses } = JSON.parse(readFileSync(file, 'utf8'));
  return typeof license === 'string'
    ? license
    : (license?.type ?? licenses?.map(({ type }) => type).join(' OR ') ?? 'none');
}

/**
 * Every shipped package of the lock file, by its path: what production installs, and what is
 * bundled for browsers.
 */
export function shippedPackages() {
  const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8'));
  const bundled = new Set(BUNDLED.map((name) => `node_modules/${name}`));
  return Object.entries(packages)
    .filter(
      ([path, { dev, devOptional, link }]) => path !== '' && !link && ((!dev && !devOptional) || bundled.has(path)),
    )
    .map(([path, { version, license }]) => ({
      path,
      name: path.replace(/^.*node_modules\//, ''),
      version,
      licence: license ?? licenceOf(path) ?? 'not installed',
    }));
}

if (process.argv[1] === import.meta.filename) {
  const found = shippedPackages();
  const wrong = found.filter(({ licence }) => licence !== 'not installed' && !isAllowed(licence));
  for (const { name, licence } of wrong) console.error(`${name}: ${licence}`);
  console.log(`${found.length} packages are shipped, ${wrong.length} with a licence that is not on the list`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
