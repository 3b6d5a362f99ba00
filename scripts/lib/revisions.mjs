/*
 * The revision that a rollback to a version goes to: the newest of that version that does not run
 * now. Reads the Deployment and its ReplicaSets (a List as JSON on standard input) and prints
 * `REVISION IMAGE CONFIGMAP`, nothing if the cluster has none, or `running` if the only one is what
 * runs.
 *   kubectl get deployments,replicasets -l app=support-bot -o json | node revisions.mjs 1.0.0 support-bot
 */

import { readFileSync } from 'node:fs';
import process from 'node:process';

const REVISION = 'deployment.kubernetes.io/revision';
const [version, app] = process.argv.slice(2);
const { items } = JSON.parse(readFileSync(0, 'utf8'));
const revisionOf = ({ metadata }) => Number(metadata.annotations?.[REVISION] ?? 0);
const running = items.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === app);
const now = running === undefined ? 0 : revisionOf(running);
// By instance: a second colour or a canary has its own revisions.
const instance = running?.spec.selector.matchLabels.instance;
const ofVersion = items
  .filter(({ kind }) => kind === 'ReplicaSet')
  .filter(({ spec: { template } }) => template.metadata.labels.version === version)
  .filter(({ spec: { template } }) => template.metadata.labels.instance === instance)
  .toSorted((a, b) => revisionOf(b) - revisionOf(a));
const target = ofVersion.find((item) => revisionOf(item) !== now);
if (target !== undefined) {
  const { containers, volumes = [] } = target.spec.template.spec;
  const config = volumes.find(({ configMap }) => configMap !== undefined)?.configMap.name ?? '-';
  process.stdout.write(`${revisionOf(target)} ${containers[0].image} ${config}\n`);
} else if (ofVersion.length > 0) process.stdout.write('running\n');
