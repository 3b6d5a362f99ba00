/*
 * The chart as Helm renders it. Helm is built by Go in a fixed version; without Go the chart is
 * left out, in CI that fails.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { stringify } from 'yaml';
// @ts-expect-error The scripts run before anything is compiled, so they have no types.
import { HELM as untypedHelm, HELM_BUILD as untypedBuild } from '../../../scripts/lib/helm.mjs';
// @ts-expect-error The scripts run before anything is compiled, so they have no types.
import { onPath as untypedOnPath } from '../../../scripts/lib/tools.mjs';
import { type Manifest, parseManifests } from './manifests.js';

const onPath = untypedOnPath as (program: string) => boolean;
const HELM = untypedHelm as string;
const BUILD = untypedBuild as { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> };
const CHART = 'k8s/chart';
/**
 * The oldest that k8s/ is checked for. Without it, Helm takes that of its own build, which `go
 * install` does not set.
 */
const KUBERNETES = '1.32.0';

export const HELM_LEFT_OUT = !onPath('go') && process.env['CI'] !== 'true';

/**
 * The program, compiled once for each version. `npm test` starts the same build before its suites.
 */
function helm(): string {
  if (!existsSync(HELM)) {
    if (!onPath('go')) throw new Error('unable to test the Helm chart; go is missing; install it');
    execFileSync('go', BUILD.args, { env: { ...process.env, ...BUILD.env }, stdio: 'pipe' });
  }
  return HELM;
}

/** @returns what `helm template` renders with these values, or what it refuses */
export function tryHelmTemplate(values: object, args: readonly string[] = []): { output: string; error: string } {
  const ran = spawnSync(
    helm(),
    ['template', 'support-bot', CHART, '--kube-version', KUBERNETES, '--values', '-', ...args],
    {
      input: stringify(values, { version: '1.1' }),
      encoding: 'utf8',
    },
  );
  return {
    output: ran.stdout,
    error: ran.status === 0 ? '' : `${ran.stderr}${ran.error?.message ?? ''}` || 'it failed',
  };
}

/** @throws Error with the output of Helm if it refuses */
export function helmTemplate(values: object = {}, args: readonly string[] = []): Manifest[] {
  const { output, error } = tryHelmTemplate(values, args);
  if (error !== '') throw new Error(error);
  return parseManifests(output).filter((manifest) => manifest !== null);
}

export function helmLint(): string {
  return execFileSync(helm(), ['lint', '--strict', '--kube-version', KUBERNETES, CHART], { encoding: 'utf8' });
}

/** Values that differ from the defaults, each valid for the policy checks. */
export const EVERY_VALUE = {
  image: { repository: 'registry.example.com:5000/support-bot', tag: '1.1.0' },
  replicas: 4,
  autoscaling: { enabled: false },
  resources: { limits: { memory: '1Gi' } },
  nodeOptions: '--max-old-space-size=768',
  ingress: { host: 'chat.example.org', tlsSecret: 'chat-tls', className: 'haproxy' },
  extraEnv: [{ name: 'LOG_LABEL', value: 'blue' }],
  podMonitor: { enabled: true, environment: 'staging' },
  extraEgress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }], ports: [{ port: 6380, protocol: 'TCP' }] }],
  config: '# another\napp:\n  name: "support-bot"\n',
};

/** The chart as an operator may install it, for the checks that the other manifests must pass. */
export function charts(): [string, readonly Manifest[]][] {
  if (HELM_LEFT_OUT) return [];
  return [
    ['Helm chart', helmTemplate()],
    ['Helm chart with every value changed', helmTemplate(EVERY_VALUE)],
  ];
}
