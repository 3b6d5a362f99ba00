/*
 * Builds dist/client/: the browser client (one file, with its types) and the playground page, which
 * uses that same file. Fails if the client is larger than its limit.
 */

import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import ts from 'typescript';

const LIMIT_BYTES = 7 * 1024;
const root = join(import.meta.dirname, '../..');
const source = join(root, 'client/src');
const playground = join(root, 'client/playground');
const out = join(root, 'dist/client');

/** Names that the hook's declarations import from the client's. */
const FROM_CLIENT = `import {
  type ClientOptions,
  type ConnectionState,
  type ResponseStatus,
  type SendOptions,
  type Sluice,
  type SluiceErrorShape,
  type SluiceResponse,
} from './client.js';

`;

const FOR_AI_SDK = `import { type ChatTransport, type UIMessage, type UIMessageChunk } from 'ai';
import { type ClientOptions, type Sluice } from './client.js';

`;

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  // Drop imports of types only: the bundlers of users would warn about them.
  tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: false } },
  logLevel: 'warning',
};

/** The page and the hook load `client.js` by its URL, so that there is one copy of it. */
const clientStaysOutside = {
  name: 'client-stays-outside',
  setup: (esbuild) =>
    esbuild.onResolve({ filter: /(\/src|^\.)\/client\.js$/ }, () => ({ path: './client.js', external: true })),
};

/** The modules of each entry, in order. */
const CLIENT = ['api', 'errors', 'client'];
const REACT = ['chat-api', 'react'];
const AI_SDK = ['ai-sdk'];

/**
 * Returns the declarations of modules by name. One program for all of them reads the libraries
 * once.
 */
function emitDeclarations(names) {
  const texts = new Map();
  const program = ts.createProgram(
    names.map((name) => join(source, `${name}.ts`)),
    {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      lib: ['lib.es2024.d.ts', 'lib.dom.d.ts'],
      types: [],
      strict: true,
      declaration: true,
      emitDeclarationOnly: true,
    },
  );
  program.emit(undefined, (path, text) => texts.set(basename(path, '.d.ts'), text));
  return texts;
}

/**
 * Returns the declarations of an entry as one file: these modules in order, without their imports;
 * `head` has the imports of other packages.
 */
function declarations(emitted, names, head = '') {
  const tie = /^(import .* from '.*'|export type \* from '.*'|export (type )?\{.*\});\n/gm;
  return head + names.map((name) => emitted.get(name).replace(tie, '').trim() + '\n').join('\n');
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({ ...common, entryPoints: [join(source, 'client.ts')], outfile: join(out, 'client.js') });
await build({
  ...common,
  entryPoints: [join(playground, 'playground.ts')],
  outfile: join(out, 'playground.js'),
  plugins: [clientStaysOutside],
});
await build({
  ...common,
  entryPoints: [join(source, 'react.ts')],
  outfile: join(out, 'react.js'),
  external: ['react'],
  plugins: [clientStaysOutside],
});
await build({
  ...common,
  entryPoints: [join(source, 'ai-sdk.ts')],
  outfile: join(out, 'ai-sdk.js'),
  plugins: [clientStaysOutside],
});
const emitted = emitDeclarations([...CLIENT, ...REACT, ...AI_SDK]);
await writeFile(join(out, 'client.d.ts'), declarations(emitted, CLIENT));
await writeFile(join(out, 'react.d.ts'), declarations(emitted, REACT, FROM_CLIENT));
await writeFile(join(out, 'ai-sdk.d.ts'), declarations(emitted, AI_SDK, FOR_AI_SDK));
for (const file of ['package.json', 'README.md']) await copyFile(join(root, 'client', file), join(out, file));
for (const file of ['index.html', 'playground.css', 'panels.css', 'favicon.svg'])
  await copyFile(join(playground, file), join(out, file));

const bytes = gzipSync(await readFile(join(out, 'client.js')), { level: 9 }).length;
console.log(`client.js: ${bytes} bytes gzipped (limit ${LIMIT_BYTES})`);
if (bytes > LIMIT_BYTES) {
  console.error(
    `unable to build the client; client.js has grown over its limit of ${LIMIT_BYTES} bytes gzipped; take something out of client/src`,
  );
  process.exitCode = 1;
}
