/*
 * The manifests of the second colour, made of the first one's Deployment as the cluster has it (JSON on standard input): another name,
 * instance, version and image. Selectors and pod labels change with the instance, so that neither colour takes the other's pods.
 *   node second-colour.mjs support-bot support-bot-v2 2.0.0
 */

import { readFileSync } from 'node:fs';
import process from 'node:process';

const [app, green, version] = process.argv.slice(2);
const { apiVersion, kind, metadata, spec } = JSON.parse(readFileSync(0, 'utf8'));
const labels = { ...metadata.labels, version };
const podLabels = { ...spec.template.metadata.labels, instance: green, version };
const [first, ...others] = spec.template.spec.containers;
const image = `${first.image.replace(/:[^:/]*$/, '')}:${version}`;
const deployment = {
  apiVersion,
  kind,
  metadata: { name: green, labels },
  spec: {
    ...spec,
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
process.stdout.write(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [deployment, service] }, null, 2));
