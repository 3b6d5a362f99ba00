/*
 * The manifests, without a cluster: that kubectl renders them, that they are what Kubernetes takes, and that they keep the promises an
 * operator relies on. What only a cluster can say (does it schedule, does the balancer come up) is tested nowhere.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../src/config/load.js';
import { DRAIN_TIMES, longestDrainMs } from '../../src/lifecycle/drain.js';
import { mistakeIn, unknownFields } from './support/kubernetes-types.js';
import {
  at,
  COMPONENTS,
  list,
  type Manifest,
  one,
  OVERLAYS,
  render,
  renderWith,
  shipped,
} from './support/manifests.js';

const rendered = new Map<string, readonly Manifest[]>([
  ...OVERLAYS.map((name) => [`overlay ${name}`, render(`k8s/overlays/${name}`)] as const),
  ...COMPONENTS.map((name) => [`component ${name}`, renderWith(name)] as const),
  ['k8s/deployment.yaml', shipped()],
]);
const cases = [...rendered].map(([name, manifests]) => ({ name, manifests }));
const WORKLOADS = new Set(['Deployment', 'StatefulSet']);
const workloads = (manifests: readonly Manifest[]) => manifests.filter(({ kind }) => WORKLOADS.has(kind));

describe.each(cases)('$name', ({ manifests }) => {
  it('is what Kubernetes takes', async () => {
    expect((await Promise.all(manifests.map(mistakeIn))).filter((mistake) => mistake !== undefined)).toEqual([]);
  });

  it('names no object twice', () => {
    const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it('runs images of a named version, with limits, as nobody special, on a root that cannot be written', () => {
    for (const workload of workloads(manifests)) {
      const pod = at(workload, 'spec.template.spec');
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      });
      for (const container of list(pod, 'containers')) {
        expect(container['image']).toMatch(/:[\w.-]+$/);
        expect(container['image']).not.toMatch(/:latest$/);
        for (const kind of ['requests', 'limits'])
          for (const resource of ['cpu', 'memory'])
            expect(at(container, `resources.${kind}.${resource}`)).toEqual(expect.any(String));
        expect(container['securityContext']).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container).toHaveProperty('livenessProbe');
        expect(container).toHaveProperty('readinessProbe');
      }
    }
  });

  it('selects pods that there are', () => {
    const pods = workloads(manifests).map((workload) => at(workload, 'spec.template.metadata.labels'));
    const selectors = manifests.flatMap((manifest) => {
      if (manifest.kind === 'Service') return [at(manifest, 'spec.selector')];
      if (manifest.kind === 'PodDisruptionBudget' || manifest.kind === 'PodMonitor' || WORKLOADS.has(manifest.kind))
        return [at(manifest, 'spec.selector.matchLabels')];
      return manifest.kind === 'NetworkPolicy' ? [at(manifest, 'spec.podSelector.matchLabels')] : [];
    });
    // Typed by the models above: a selector and a pod's labels are words.
    for (const selector of selectors as Record<string, string>[])
      expect(pods).toContainEqual(expect.objectContaining(selector));
  });

  it('shows the operations port to nobody outside', () => {
    for (const { spec } of manifests.filter(({ kind }) => kind === 'Service')) {
      if (at(spec, 'type') === 'LoadBalancer' || at(spec, 'type') === 'NodePort')
        expect(list(spec, 'ports').map(({ port, targetPort }) => [port, targetPort])).toEqual([[80, 'http']]);
    }
    for (const kind of ['Ingress', 'HTTPRoute', 'VirtualService', 'Gateway']) {
      const text = JSON.stringify(manifests.filter((manifest) => manifest.kind === kind));
      expect(text).not.toMatch(/support-bot-ops|9090|"ops"/);
    }
  });

  it('takes every secret from the one Secret, by the keys that the documents name', () => {
    for (const workload of workloads(manifests)) {
      const env = list(workload, 'spec.template.spec.containers.0.env');
      const secret = env.filter(({ name }) => /KEY|PASSWORD|TOKEN|SECRET/.test(String(name)));
      for (const { valueFrom } of secret) expect(at(valueFrom, 'secretKeyRef.name')).toBe('support-bot-secrets');
      for (const { valueFrom } of secret)
        expect(['openai-api-key', 'redis-password', 'sluice-api-key']).toContain(at(valueFrom, 'secretKeyRef.key'));
    }
  });
});

it('writes no field that Kubernetes does not know', () => {
  expect(unknownFields([...rendered.values()].flat())).toEqual([]);
});

it('finds a field that Kubernetes does not know, and a wrong type', async () => {
  const service = one(shipped(), 'Service', 'support-bot');
  expect(unknownFields([{ ...service, spec: { ...service.spec, portz: [] } }])).toHaveLength(1);
  expect(await mistakeIn({ ...service, spec: { ...service.spec, ports: 80 } } as Manifest)).toContain('ports');
});

describe('support-bot in production', () => {
  const manifests = shipped();
  const deployment = one(manifests, 'Deployment', 'support-bot');
  const pod = at(deployment, 'spec.template.spec');
  const container = at(pod, 'containers.0');

  it('keeps three replicas while a version rolls', () => {
    expect(deployment.spec).toMatchObject({
      replicas: 3,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    });
    expect(at(deployment, 'spec.template.metadata.labels')).toMatchObject({ app: 'support-bot', version: '1.0.0' });
  });

  it('has the resources that were measured, and a heap below the limit', () => {
    expect(at(container, 'resources')).toEqual({
      requests: { memory: '128Mi', cpu: '100m' },
      limits: { memory: '512Mi', cpu: '500m' },
    });
    const options = list(container, 'env').find(({ name }) => name === 'NODE_OPTIONS')?.['value'];
    expect(Number(/--max-old-space-size=(\d+)/.exec(String(options))?.[1])).toBeLessThanOrEqual(512 * 0.8);
  });

  it.each([
    ['livenessProbe', '/health', 10, 30],
    ['readinessProbe', '/ready', 5, 10],
  ])('%s asks %s of the operations port', (probe, path, delay, period) => {
    expect(at(container, probe)).toMatchObject({
      httpGet: { path, port: 'ops' },
      initialDelaySeconds: delay,
      periodSeconds: period,
    });
    expect(list(container, 'ports')).toContainEqual(expect.objectContaining({ name: 'ops', containerPort: 9090 }));
  });

  it('waits for a slow start', () => {
    expect(at(container, 'startupProbe')).toMatchObject({ httpGet: { path: '/health', port: 'ops' } });
  });

  it('gives a drain all the time that it may take', () => {
    const { config } = loadConfig({ path: 'config/production.yaml', env: {}, missingSecrets: 'warning' });
    const drainMs = longestDrainMs({ ...DRAIN_TIMES, sharedState: true, graceMs: config.app.shutdown_timeout });
    const preStopSeconds = Number(at(container, 'lifecycle.preStop.sleep.seconds'));
    expect(preStopSeconds).toBeGreaterThan(0);
    expect(Number(at(pod, 'terminationGracePeriodSeconds')) * 1_000).toBeGreaterThan(preStopSeconds * 1_000 + drainMs);
  });

  it('reads the configuration that its ConfigMap brings, which is config/ itself', () => {
    const map = one(manifests, 'ConfigMap', 'support-bot-config');
    for (const [file, text] of Object.entries(map.data ?? {}))
      expect(text).toBe(readFileSync(`config/${file}`, 'utf8'));
    expect(Object.keys(map.data ?? {})).toContain('production.yaml');
    expect(list(container, 'env')).toContainEqual({ name: 'CONFIG_PATH', value: '/app/config/production.yaml' });
    expect(list(pod, 'volumes')).toContainEqual({ name: 'config', configMap: { name: 'support-bot-config' } });
    expect(list(container, 'volumeMounts')).toContainEqual(expect.objectContaining({ mountPath: '/app/config' }));
  });

  it('gives every secret that the configuration asks for', () => {
    const asked = readFileSync('config/production.yaml', 'utf8').matchAll(/_env: (\w+)/g);
    const given = list(container, 'env').map(({ name }) => name);
    expect(given).toEqual(expect.arrayContaining([...asked].map(([, name]) => name)));
  });

  it('rolls out when its configuration changes', () => {
    expect(at(deployment, 'spec.template.metadata.annotations')).toHaveProperty('sluice/config-digest');
  });

  it('listens where its probes, its Service and its policy expect it', () => {
    const { config } = loadConfig({ path: 'config/production.yaml', env: {}, missingSecrets: 'warning' });
    expect(list(container, 'ports').map(({ containerPort }) => containerPort)).toEqual([
      config.app.port,
      config.monitoring.metrics.port,
    ]);
    expect(one(manifests, 'Service', 'support-bot').spec).toMatchObject({
      type: 'LoadBalancer',
      ports: [{ port: 80, targetPort: 'http' }],
    });
    expect(one(manifests, 'Service', 'support-bot-ops').spec).toMatchObject({
      type: 'ClusterIP',
      ports: [{ port: 9090 }],
    });
  });

  it('lets out what the configuration needs: DNS, HTTPS, Redis, traces', () => {
    const policy = one(manifests, 'NetworkPolicy', 'support-bot');
    const ports = list(policy, 'spec.egress').flatMap((rule) => list(rule, 'ports').map(({ port }) => port));
    expect(new Set(ports)).toEqual(new Set([53, 443, 6379, 4318]));
    expect(at(policy, 'spec.policyTypes')).toEqual(['Ingress', 'Egress']);
  });

  it('leaves slowly, one replica at a time', () => {
    const hpa = one(manifests, 'HorizontalPodAutoscaler', 'support-bot');
    expect(hpa.spec).toMatchObject({ minReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'support-bot' } });
    expect(Number(at(hpa, 'spec.behavior.scaleDown.stabilizationWindowSeconds'))).toBeGreaterThanOrEqual(600);
    expect(list(hpa, 'spec.behavior.scaleDown.policies')).toEqual([{ type: 'Pods', value: 1, periodSeconds: 120 }]);
    expect(one(manifests, 'PodDisruptionBudget', 'support-bot').spec).toMatchObject({ maxUnavailable: 1 });
  });

  it('gives its pods no token', () => {
    expect(one(manifests, 'ServiceAccount', 'support-bot')).toMatchObject({ automountServiceAccountToken: false });
    expect(pod).toMatchObject({ serviceAccountName: 'support-bot', automountServiceAccountToken: false });
  });

  it('lets sockets be quiet behind an Ingress', () => {
    const { annotations = {} } = one(manifests, 'Ingress', 'support-bot').metadata;
    for (const name of ['proxy-read-timeout', 'proxy-send-timeout'])
      expect(Number(annotations[`nginx.ingress.kubernetes.io/${name}`])).toBeGreaterThanOrEqual(3_600);
  });

  it('stays within what every cluster knows', () => {
    const groups = new Set(manifests.map(({ apiVersion }) => apiVersion.replace(/\/.*/, '')));
    expect(groups).toEqual(new Set(['v1', 'apps', 'autoscaling', 'policy', 'networking.k8s.io']));
  });
});

describe('staging', () => {
  const manifests = rendered.get('overlay staging') ?? [];

  it('brings its own Redis, which never forgets to make room', () => {
    const redis = one(manifests, 'StatefulSet', 'redis');
    expect(JSON.stringify(redis.spec)).toContain('maxmemory-policy noeviction');
    expect(at(redis, 'spec.template.spec.containers.0.ports.0.containerPort')).toBe(6379);
    expect(at(one(manifests, 'Service', 'redis'), 'spec.ports.0.port')).toBe(6379);
  });

  it('reads its own configuration', () => {
    expect(list(one(manifests, 'Deployment', 'support-bot'), 'spec.template.spec.containers.0.env')).toContainEqual({
      name: 'CONFIG_PATH',
      value: '/app/config/staging.yaml',
    });
  });
});

describe('with Istio', () => {
  const ofComponent = (name: string) => rendered.get(`component ${name}`) ?? [];
  const routesOf = (name: string) => list(one(ofComponent(name), 'VirtualService', 'support-bot'), 'spec.http');

  it.each(['istio', 'istio-canary'])(
    '%s: every client comes through its gateway, so that shares are what they say',
    (name) => {
      const manifests = ofComponent(name);
      expect(one(manifests, 'VirtualService', 'support-bot').spec).toMatchObject({
        gateways: ['support-bot', 'mesh'],
        hosts: ['support-bot.example.com', 'support-bot'],
      });
      expect(list(one(manifests, 'Gateway', 'support-bot'), 'spec.servers')[0]).toMatchObject({
        hosts: ['support-bot.example.com'],
        tls: { mode: 'SIMPLE' },
      });
      expect(one(manifests, 'Service', 'support-bot').spec).toMatchObject({ type: 'ClusterIP' });
      expect(manifests.filter(({ kind }) => kind === 'Ingress')).toEqual([]);
    },
  );

  it('a canary takes a tenth of the clients, and those who ask for it by header or query', () => {
    const routes = routesOf('istio-canary');
    const matches = routes.flatMap((route) => list(route, 'match'));
    expect(matches).toEqual([
      { headers: { 'user-type': { exact: 'beta' } } },
      { queryParams: { track: { exact: 'beta' } } },
    ]);
    const weighted = routes.flatMap((route) =>
      list(route, 'route').map(({ destination, weight }) => [at(destination, 'subset'), weight]),
    );
    expect(weighted).toEqual([
      ['canary', undefined],
      ['stable', 90],
      ['canary', 10],
    ]);
  });

  it('without one nobody is sent to pods that are not there', () => {
    expect(JSON.stringify(routesOf('istio'))).not.toContain('canary');
  });

  it.each(['istio', 'istio-canary'])('%s: an answer may last longer than any default', (name) => {
    for (const route of routesOf(name)) expect(route['timeout']).toBe('0s');
  });

  it('whose pods are whose does not change with a version', () => {
    const manifests = ofComponent('istio-canary');
    const subsets = list(one(manifests, 'DestinationRule', 'support-bot'), 'spec.subsets');
    const labels = at(one(manifests, 'Deployment', 'support-bot'), 'spec.template.metadata.labels');
    expect(subsets).toEqual([
      { name: 'stable', labels: { instance: at(labels, 'instance') } },
      { name: 'canary', labels: { instance: 'support-bot-canary' } },
    ]);
  });
});

it('what is rendered is up to date', () => {
  const checked = () =>
    execFileSync('node', ['monitoring/render/main.ts', '--check'], { encoding: 'utf8', stdio: 'pipe' });
  expect(checked).not.toThrow();
});
