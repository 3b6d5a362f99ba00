/*
 * Writes what a release contains beside its own code: sbom.cdx.json (CycloneDX) and licences.txt
 * (each package with its licence text). Covers the production dependencies and the packages that
 * the build puts into the browser's files.
 *   node scripts/release/inventory.mjs [FOLDER]     default: .cache/release/VERSION
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { shippedPackages } from './licences.mjs';

const ROOT = join(import.meta.dirname, '../..');
const own = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const folder = process.argv[2] ?? join('.cache/release', own.version);
/**
 * A package that this platform does not install, such as a binary for another one, is not shipped
 * from here.
 */
const shipped = shippedPackages().filter(({ path }) => existsSync(join(ROOT, path)));

/**
 * Filters npm's list of all packages. Its own `--omit dev` also leaves out production packages that
 * a development dependency needs, such as `openai` and `ws`.
 */
function sbom() {
  const options = { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 };
  const all = JSON.parse(execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx'], options));
  const refs = new Set(shipped.map(({ name, version }) => `${name}@${version}`));
  const components = all.components.filter((component) => refs.has(component['bom-ref']));
  const found = new Set(components.map((component) => component['bom-ref']));
  const missing = [...refs].filter((ref) => !found.has(ref));
  if (missing.length > 0) throw new Error(`unable to list ${missing.join(', ')}; npm does not name it; run npm ci`);
  const root = all.metadata.component['bom-ref'];
  const dependencies = all.dependencies
    .filter(({ ref }) => refs.has(ref) || ref === root)
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => refs.has(other)) }));
  // npm names the root after its folder, and a bundled package after the kind of its dependency.
  all.metadata.component.name = own.name;
  return { ...all, components: components.map((component) => ({ ...component, scope: 'required' })), dependencies };
}

/** Most licences require that their text goes with the software. */
function licenceText(path) {
  const files = readdirSync(join(ROOT, path)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  return files.map((file) => `\n${readFileSync(join(ROOT, path, file), 'utf8').trim()}\n`).join('');
}

function licenceList() {
  const entries = shipped.map(
    ({ path, name, version, licence }) => `${name} ${version}: ${licence}\n${licenceText(path)}`,
  );
  return [...new Set(entries)].sort().join(`\n${'-'.repeat(80)}\n`);
}

const bill = sbom();
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'sbom.cdx.json'), `${JSON.stringify(bill, null, 2)}\n`);
writeFileSync(join(folder, 'licences.txt'), licenceList());
console.log(`${bill.components.length} packages: ${join(folder, 'sbom.cdx.json')}, ${join(folder, 'licences.txt')}`);
