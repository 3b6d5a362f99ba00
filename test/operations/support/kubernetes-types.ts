/*
 * Checks manifests against published models of Kubernetes objects. Their validators check required
 * fields and types. The compiler checks for unknown fields, which a validator accepts and a cluster
 * drops silently.
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { type Manifest } from './manifests.js';

const PACKAGES: Readonly<Record<string, string>> = {
  'networking.istio.io': '@kubernetes-models/istio/',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api/',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator/',
};

function modelOf({ apiVersion, kind }: Manifest): string {
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
  return `${PACKAGES[group] ?? 'kubernetes-models/'}${apiVersion}/${kind}`;
}

/**
 * The first mistake of a manifest; undefined: it has none.
 * @throws if no model of its kind is installed
 */
export async function mistakeIn(manifest: Manifest): Promise<string | undefined> {
  // The module of a kind exports the class of that name.
  const module = (await import(modelOf(manifest))) as Readonly<
    Record<string, new (data: object) => { validate(): void }>
  >;
  const Model = module[manifest.kind];
  if (Model === undefined) throw new Error(`there is no model of ${manifest.kind}`);
  try {
    new Model(manifest).validate();
    return undefined;
  } catch (error) {
    return `${manifest.kind} ${manifest.metadata.name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * What the compiler says of the manifests as literals of their types: unknown fields, wrong words.
 */
export function unknownFields(manifests: readonly Manifest[]): string[] {
  const folder = join('.cache', `manifests-${process.pid}`);
  const file = join(folder, 'manifests.ts');
  mkdirSync(folder, { recursive: true });
  const kinds = new Map(manifests.map((manifest) => [modelOf(manifest), manifest.kind]));
  const names = new Map([...kinds].map(([model, kind], i) => [model, { type: `I${kind}`, as: `K${i}` }]));
  const imports = [...names].map(([model, { type, as }]) => `import { type ${type} as ${as} } from '${model}';`);
  const literals = manifests.map(
    (manifest, i) => `export const m${i}: ${names.get(modelOf(manifest))?.as} = ${JSON.stringify(manifest)};`,
  );
  writeFileSync(file, [...imports, ...literals].join('\n'));
  try {
    const program = ts.createProgram([file], {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2024,
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: [],
    });
    return ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
