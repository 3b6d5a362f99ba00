/*
 * The documents name existing things: each relative link leads to a file and a heading, each source
 * path exists.
 */

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const pages = globSync([
  '*.md',
  'docs/**/*.md',
  'packs/*.md',
  'k8s/**/*.md',
  'bench/*.md',
  'client/*.md',
  'test/**/*.md',
]).toSorted();
const textOf = (page: string) => readFileSync(page, 'utf8').replace(/^```[^]*?^```/gm, '');

/** The anchor that GitHub makes of a heading. */
function anchorsOf(page: string): Set<string> {
  const headings = textOf(page).matchAll(/^#+ (.+)$/gm);
  return new Set([...headings].map(([, title = '']) => anchor(title)));
}

function anchor(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function brokenLinks(page: string): string[] {
  const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return links.filter((target) => {
    if (/^(https?|mailto):/.test(target)) return false;
    const [path = '', heading] = target.split('#');
    const file = path === '' ? page : normalize(join(dirname(page), path));
    if (!existsSync(file)) return true;
    return heading !== undefined && !anchorsOf(file).has(heading);
  });
}

function missingPaths(page: string): string[] {
  const paths = [
    ...textOf(page).matchAll(/`((?:src|test|scripts|config|client|packs|docs|tools|k8s|bench)\/[\w./-]+)`/g),
  ];
  return paths.map(([, path = '']) => path).filter((path) => !existsSync(path));
}

describe.each(pages)('%s', (page) => {
  it('links to existing files and headings', () => expect(brokenLinks(page)).toEqual([]));
  it('names existing sources', () => expect(missingPaths(page)).toEqual([]));
});

it('names the installed version of the official client in PROTOCOL.md', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: { openai: string } };
  expect(textOf('PROTOCOL.md')).toContain(`\`openai\` ${dependencies.openai.split('.').slice(0, 2).join('.')}.`);
});

describe('the map of the sources', () => {
  const folders = globSync('src/*', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

  it('lists every folder of src in ARCHITECTURE.md, and no other', () => {
    const rows = [...textOf('docs/ARCHITECTURE.md').matchAll(/^\| `([a-z]+)` \|/gm)].map(([, name]) => name);
    expect(rows.toSorted()).toEqual(folders.toSorted());
  });

  it('lists the tests of every folder of src in CONTRIBUTING.md', () => {
    const rows = [...textOf('CONTRIBUTING.md').matchAll(/^\| `src\/([a-z]+)` \|/gm)].map(([, name]) => name);
    expect(rows.toSorted()).toEqual(folders.toSorted());
  });

  it('lists every suite in ARCHITECTURE.md', () => {
    const rows = [...textOf('docs/ARCHITECTURE.md').matchAll(/^\| `test\/([a-z]+)` \|/gm)].map(([, name]) => name);
    const suites = globSync('test/*/**/*.spec.ts').map((file) => file.split('/')[1]);
    expect(rows.toSorted()).toEqual([...new Set(suites)].toSorted());
  });

  it('lists every helper of test/support in its README', () => {
    const readme = textOf('test/support/README.md');
    const helpers = globSync('test/support/*.{ts,mjs}').map((file) => file.slice('test/support/'.length));
    expect(helpers.filter((file) => !readme.includes(file))).toEqual([]);
  });
});

describe('decisions', () => {
  const records = globSync('docs/decisions/[0-9]*.md');
  const list = readFileSync('docs/decisions/README.md', 'utf8');

  it.each(records)('keeps %s short and listed', (file) => {
    expect(readFileSync(file, 'utf8').trimEnd().split('\n').length).toBeLessThanOrEqual(15);
    expect(list).toContain(`(${file.slice('docs/decisions/'.length)})`);
  });
});

describe('file names', () => {
  it('uses .yaml for YAML files', () => {
    const found = globSync(['*.yml', '.github/**/*.yml', '{config,k8s,monitoring,packs,scripts,test}/**/*.yml']);
    expect(found).toEqual([]);
  });
});
