/* Manifests as kubectl renders them, and checks on them. Needs kubectl, never a cluster. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** As far as tests look into it; each kind has more. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // A manifest may hold any value; a test that reads a missing path fails.
  readonly spec?: Json;
  readonly data?: Readonly<Record<string, string>>;
}

/** A parsed document, to be asked by paths. */
export type Json = { readonly [key: string]: unknown };

export const OVERLAYS = readdirSync('k8s/overlays');
export const COMPONENTS = readdirSync('k8s/components');

export function parseManifests(text: string): Manifest[] {
  // The cast: the models of Kubernetes' objects judge these documents.
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

export function render(folder: string): Manifest[] {
  return parseManifests(execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' }));
}

/** The production overlay with one component, as an operator adds it. */
export function renderWith(component: string): Manifest[] {
  mkdirSync('.cache', { recursive: true });
  const folder = mkdtempSync(join('.cache', `component-${component}-`));
  writeFileSync(
    join(folder, 'kustomization.yaml'),
    `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../k8s/overlays/production]
components: [../../k8s/components/${component}]
`,
  );
  try {
    return render(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function shipped(): Manifest[] {
  return parseManifests(readFileSync('k8s/deployment.yaml', 'utf8'));
}

/** The one object of that kind and name. @throws where it is not there */
export function one(manifests: readonly Manifest[], kind: string, name: string): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${found.length} of ${kind} ${name}`);
  return first;
}

/** The value at `spec.template.spec.containers.0.image`. */
export function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, key) => {
    if (typeof inner !== 'object' || inner === null) return undefined;
    // An object or an array: both are read by key.
    return (inner as Readonly<Record<string, unknown>>)[key];
  }, value);
}

/** The list at that path; empty where there is none. */
export function list(value: unknown, path: string): readonly Json[] {
  const found = at(value, path);
  return Array.isArray(found) ? (found as readonly Json[]) : [];
}
