/*
 * The manifests of a second colour or of a canary, made from the first one's Deployment in the
 * cluster (JSON on standard input), with another name, instance, version and image. Selectors and
 * pod labels change with the instance, so that neither selects the other's pods.
 *   node second-colour.mjs support-bot support-bot-v2 2.0.0         as many replicas, and its own Service
 *   node second-colour.mjs support-bot support-bot-canary 2.0.0 10  a tenth of the replicas, at least one
 */

import { readFileSync } from 'node:fs';
import process from 'node:process';
import { imageInVersion } from './image.mjs';

const [app, green, version, percent] = process.argv.slice(2);
const { apiVersion, kind, metadata, spec } = JSON.parse(readFileSync(0, 'utf8'));
const labels = { ...metadata.labels, version };
const podLabels = { ...spec.template.metadata.labels, instance: green, version };
const [first, ...others] = spec.template.spec.containers;
let image;
try {
  image = process.env.IMAGE ?? imageInVersion(first.image, version);
} catch (error) {
  process.stderr.write(`unable to continue; ${error.message}\n`);
  process.exit(1);
}
const deployment = {
  apiVersion,
  kind,
  metadata: { name: green, labels },
  spec: {
    ...spec,
    replicas: percent === undefined ? spec.replicas : Math.max(1, Math.ceil((spec.replicas * Number(percent)) / 100)),
    selector: { matchLabels: { app, instance: green } },
    template: {
      ...spec.template,
      metadata: { ...spec.template.metadata, labels: podLabels },
      spec: { ...spec.template.spec, containers: [{ ...first, image }, ...others] },
    },
  },
};
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: green, labels: { app, version } },
  spec: { type: 'ClusterIP', selector: { app, version }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
};
const items = percent === undefined ? [deployment, service] : [deployment];
process.stdout.write(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2));
