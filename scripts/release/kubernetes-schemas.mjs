/*
 * Vendors the official schemas of the kinds that the manifests use, of one minor version of
 * Kubernetes: from the OpenAPI documents of its source (`go mod download
 * k8s.io/kubernetes@v1.34.0`), without descriptions, and strict: a field that the API does not know
 * is a mistake.
 *   node scripts/release/kubernetes-schemas.mjs FOLDER 1.34        writes test/fixtures/kubernetes/1.34.json
 * FOLDER: api/openapi-spec/v3 of that source.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const KINDS = {
  'v1/ConfigMap': ['api__v1', 'io.k8s.api.core.v1.ConfigMap'],
  'v1/Service': ['api__v1', 'io.k8s.api.core.v1.Service'],
  'v1/ServiceAccount': ['api__v1', 'io.k8s.api.core.v1.ServiceAccount'],
  'apps/v1/Deployment': ['apis__apps__v1', 'io.k8s.api.apps.v1.Deployment'],
  'apps/v1/StatefulSet': ['apis__apps__v1', 'io.k8s.api.apps.v1.StatefulSet'],
  'autoscaling/v2/HorizontalPodAutoscaler': [
    'apis__autoscaling__v2',
    'io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler',
  ],
  'policy/v1/PodDisruptionBudget': ['apis__policy__v1', 'io.k8s.api.policy.v1.PodDisruptionBudget'],
  'networking.k8s.io/v1/NetworkPolicy': ['apis__networking.k8s.io__v1', 'io.k8s.api.networking.v1.NetworkPolicy'],
  'networking.k8s.io/v1/Ingress': ['apis__networking.k8s.io__v1', 'io.k8s.api.networking.v1.Ingress'],
};
const REF = '#/components/schemas/';

const [folder, minor] = process.argv.slice(2);
if (folder === undefined || !/^\d+\.\d+$/.test(minor ?? '')) {
  process.stderr.write('usage: node scripts/release/kubernetes-schemas.mjs FOLDER MINOR\n');
  process.exit(64);
}
const definitions = {};
const kinds = {};
for (const [kind, [file, name]] of Object.entries(KINDS)) {
  const { components } = JSON.parse(readFileSync(join(folder, `${file}_openapi.json`), 'utf8'));
  kinds[kind] = `#/definitions/${name}`;
  take(name, components.schemas);
}
const target = new URL('../../test/fixtures/kubernetes/', import.meta.url);
mkdirSync(target, { recursive: true });
writeFileSync(new URL(`${minor}.json`, target), `${JSON.stringify({ kinds, definitions })}\n`);

function take(name, schemas) {
  if (name in definitions) return;
  definitions[name] = {};
  definitions[name] = plain(schemas[name], schemas);
}

/** The schema in JSON Schema's words. */
function plain(schema, schemas) {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.slice(REF.length);
    take(name, schemas);
    return { $ref: `#/definitions/${name}` };
  }
  if (schema.allOf?.length === 1) return plain(schema.allOf[0], schemas);
  if (schema.format === 'int-or-string') return { type: ['integer', 'string'] };
  const { type, properties, items, additionalProperties, required, oneOf, enum: words } = schema;
  const result = {};
  // A quantity may be written as a number.
  if (oneOf !== undefined) result.anyOf = oneOf.map((one) => plain(one, schemas));
  else if (type !== undefined) result.type = type;
  if (words !== undefined) result.enum = words;
  if (required !== undefined) result.required = required;
  if (items !== undefined) result.items = plain(items, schemas);
  if (properties !== undefined) {
    const entries = Object.entries(properties).map(([key, value]) => [key, plain(value, schemas)]);
    result.properties = Object.fromEntries(entries);
    result.additionalProperties = false;
  }
  if (typeof additionalProperties === 'object') result.additionalProperties = plain(additionalProperties, schemas);
  return result;
}
