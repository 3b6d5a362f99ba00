/*
 * The manifests, without a cluster: that kubectl renders them, that they are what Kubernetes takes,
 * and that they keep the promises an operator relies on. What only a cluster can say (does it
 * schedule, does the balancer come up) is tested nowhere.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import { METRICS } from '../../src/observability/metric-table.js';
import { drainLimitSeconds } from '../../monitoring/render/alerts.js';
import { DRAIN_TIMES, longestDrainMs } from '../../src/lifecycle/drain.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';
import { freePort } from '../../scripts/development/cluster/free-port.js';
import { charts } from './support/helm.js';
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
  ...charts(),
]);
const cases = [...rendered].map(([name, manifests]) => ({ name, manifests }));
const WORKLOADS = new Set(['Deployment', 'StatefulSet']);
const workloads = (manifests: readonly Manifest[]) => manifests.filter(({ kind }) => WORKLOADS.has(kind));

describe.each(cases)('$name', ({ manifests }) => {
  it('matches the schemas of Kubernetes', async () => {
    expect((await Promise.all(manifests.map(mistakeIn))).filter((mistake) => mistake !== undefined)).toEqual([]);
  });

  it('names every object once', () => {
    const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it('runs images of a named version with limits, an unprivileged user and a read-only root', () => {
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

  it('keeps to the restricted pod security standard', () => {
    for (const workload of workloads(manifests)) {
      const pod = at(workload, 'spec.template.spec');
      for (const name of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod).not.toHaveProperty(name);
      expect(Number(at(pod, 'securityContext.runAsUser'))).toBeGreaterThan(0);
      for (const volume of list(pod, 'volumes')) {
        const kinds = Object.keys(volume).filter((key) => key !== 'name');
        expect(['configMap', 'emptyDir', 'persistentVolumeClaim', 'secret']).toEqual(expect.arrayContaining(kinds));
      }
      for (const container of list(pod, 'containers')) {
        expect(at(container, 'securityContext.privileged')).toBeUndefined();
        expect(at(container, 'securityContext.capabilities')).toEqual({ drop: ['ALL'] });
        for (const port of list(container, 'ports')) expect(port).not.toHaveProperty('hostPort');
      }
    }
  });

  it('labels every object of the assistant with its app and every pod with its version', () => {
    for (const { kind, metadata } of manifests)
      expect([kind, metadata.labels?.['app']]).toEqual([
        kind,
        metadata.name.startsWith('redis') ? 'redis' : 'support-bot',
      ]);
    const labels = at(one(manifests, 'Deployment', 'support-bot'), 'spec.template.metadata.labels');
    const image = String(at(one(manifests, 'Deployment', 'support-bot'), 'spec.template.spec.containers.0.image'));
    expect(labels).toMatchObject({ app: 'support-bot', version: image.split(':').at(-1) });
  });

  it('selects only pods that exist', () => {
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

  it('keeps the operations port inside the cluster', () => {
    for (const { spec } of manifests.filter(({ kind }) => kind === 'Service')) {
      if (at(spec, 'type') === 'LoadBalancer' || at(spec, 'type') === 'NodePort')
        // TLS only: no API key crosses a public network in clear text.
        expect(list(spec, 'ports').map(({ port, targetPort }) => [port, targetPort])).toEqual([[443, 'http']]);
    }
    for (const kind of ['Ingress', 'HTTPRoute', 'VirtualService', 'Gateway']) {
      const text = JSON.stringify(manifests.filter((manifest) => manifest.kind === kind));
      expect(text).not.toMatch(/support-bot-ops|9090|"ops"/);
    }
  });

  it('leaves the number of replicas to the autoscaler, with the thresholds of the capacity page', () => {
    for (const hpa of manifests.filter(({ kind }) => kind === 'HorizontalPodAutoscaler')) {
      const target = one(manifests, 'Deployment', String(at(hpa, 'spec.scaleTargetRef.name')));
      expect(target.spec).not.toHaveProperty('replicas');
      expect(list(hpa, 'spec.metrics')[0]).toEqual({
        type: 'Resource',
        resource: { name: 'cpu', target: { type: 'AverageValue', averageValue: `${plannedMillicores()}m` } },
      });
    }
  });

  it('names the configuration after its content, immutable and safe from pruning', () => {
    const [map, ...others] = manifests.filter(({ kind }) => kind === 'ConfigMap');
    expect(others).toEqual([]);
    expect(map?.metadata.name).toMatch(/^support-bot-config-[a-z0-9]{10}$/);
    expect(map).toHaveProperty('immutable', true);
    expect(map?.metadata.annotations).toMatchObject({
      'argocd.argoproj.io/sync-options': 'Prune=false',
      'kustomize.toolkit.fluxcd.io/prune': 'disabled',
    });
    expect(list(one(manifests, 'Deployment', 'support-bot'), 'spec.template.spec.volumes')).toContainEqual({
      name: 'config',
      configMap: { name: map?.metadata.name },
    });
  });

  it('takes every secret from one Secret by the documented keys', () => {
    for (const workload of workloads(manifests)) {
      const env = list(workload, 'spec.template.spec.containers.0.env');
      const secret = env.filter(({ name }) => /KEY|PASSWORD|TOKEN|SECRET/.test(String(name)));
      for (const { valueFrom } of secret) expect(at(valueFrom, 'secretKeyRef.name')).toBe('support-bot-secrets');
      for (const { valueFrom } of secret)
        expect(['openai-api-key', 'redis-password', 'sluice-api-key']).toContain(at(valueFrom, 'secretKeyRef.key'));
    }
  });
});

/** What the arithmetic of capacity plans with, of the CPU of a replica. */
function plannedMillicores(): number {
  const [output = ''] = [execFileSync('node', ['scripts/deployment/capacity.mjs'], { encoding: 'utf8' })];
  const input = (meaning: string) => Number(new RegExp(`^ +([\\d.]+) {2}${meaning}`, 'm').exec(output)?.[1]);
  return input('CPU limit of a replica') * input('share of CPU and memory') * 1_000;
}

it('gives a changed configuration a new name, so that old pods keep the old one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-config-'));
  const nameOf = () =>
    parse(execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' })).metadata.name as string;
  for (const file of ['kustomization.yaml', 'production.yaml', 'staging.yaml'])
    cpSync(`config/${file}`, join(folder, file));
  const before = nameOf();
  appendFileSync(join(folder, 'production.yaml'), '# changed\n');
  expect(nameOf()).not.toBe(before);
  rmSync(folder, { recursive: true });
});

it('uses no field that is unknown to Kubernetes', () => {
  expect(unknownFields([...rendered.values()].flat())).toEqual([]);
});

it('detects an unknown field and a wrong type in a manifest', async () => {
  const service = one(shipped(), 'Service', 'support-bot');
  expect(unknownFields([{ ...service, spec: { ...service.spec, portz: [] } }])).toHaveLength(1);
  expect(await mistakeIn({ ...service, spec: { ...service.spec, ports: 80 } } as Manifest)).toContain('ports');
});

describe('support-bot in production', () => {
  const manifests = shipped();
  const deployment = one(manifests, 'Deployment', 'support-bot');
  const pod = at(deployment, 'spec.template.spec');
  const container = at(pod, 'containers.0');

  it('keeps every replica while a version rolls', () => {
    expect(deployment.spec).toMatchObject({
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    });
    expect(at(deployment, 'spec.template.metadata.labels')).toMatchObject({ app: 'support-bot', version: '1.0.0' });
  });

  it('requests the measured resources, with a heap below the limit', () => {
    expect(at(container, 'resources')).toEqual({
      requests: { memory: '384Mi', cpu: '250m' },
      limits: { memory: '512Mi', cpu: '500m' },
    });
    const options = list(container, 'env').find(({ name }) => name === 'NODE_OPTIONS')?.['value'];
    expect(Number(/--max-old-space-size=(\d+)/.exec(String(options))?.[1])).toBeLessThanOrEqual(512 * 0.8);
  });

  it.each([
    ['livenessProbe', '/health', 10, 30],
    ['readinessProbe', '/ready', 5, 10],
  ])('sends the %s to %s of the operations port', (probe, path, delay, period) => {
    expect(at(container, probe)).toMatchObject({
      httpGet: { path, port: 'ops' },
      initialDelaySeconds: delay,
      periodSeconds: period,
    });
    expect(list(container, 'ports')).toContainEqual(expect.objectContaining({ name: 'ops', containerPort: 9090 }));
  });

  it('allows a slow start', () => {
    expect(at(container, 'startupProbe')).toMatchObject({ httpGet: { path: '/health', port: 'ops' } });
  });

  it('allows the whole time of a drain', () => {
    const { config } = loadConfig({
      types: PROVIDER_TYPES,
      path: 'config/production.yaml',
      env: {},
      missingSecrets: 'warning',
    });
    const drainMs = longestDrainMs({ ...DRAIN_TIMES, sharedState: true, graceMs: config.app.shutdown_timeout });
    const preStopSeconds = Number(at(container, 'lifecycle.preStop.sleep.seconds'));
    expect(preStopSeconds).toBeGreaterThan(0);
    expect(Number(at(pod, 'terminationGracePeriodSeconds')) * 1_000).toBeGreaterThan(preStopSeconds * 1_000 + drainMs);
  });

  it('leaves two scrapes between DrainStuck and the kill of a hanging drain', () => {
    const { config } = loadConfig({
      types: PROVIDER_TYPES,
      path: 'config/production.yaml',
      env: {},
      missingSecrets: 'warning',
    });
    const scrapeSeconds = Number.parseInt(
      /^ {2}scrape_interval: (\d+)s$/m.exec(readFileSync('monitoring/prometheus.yaml', 'utf8'))?.[1] ?? '',
      10,
    );
    const seenFor =
      Number(at(pod, 'terminationGracePeriodSeconds')) -
      Number(at(container, 'lifecycle.preStop.sleep.seconds')) -
      drainLimitSeconds(config);
    expect(seenFor).toBeGreaterThanOrEqual(2 * scrapeSeconds);
  });

  it('spreads over hosts and zones, and starts with one of each', () => {
    expect(list(pod, 'topologySpreadConstraints')).toEqual(
      ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({
        maxSkew: 1,
        topologyKey,
        whenUnsatisfiable: 'ScheduleAnyway',
        matchLabelKeys: ['pod-template-hash'],
        labelSelector: { matchLabels: { app: 'support-bot' } },
      })),
    );
  });

  it('writes only to a bounded folder in memory', () => {
    expect(list(container, 'volumeMounts').filter(({ readOnly }) => readOnly !== true)).toEqual([
      { name: 'tmp', mountPath: '/tmp' },
    ]);
    expect(list(pod, 'volumes')).toContainEqual({ name: 'tmp', emptyDir: { sizeLimit: expect.any(String) } });
  });

  it('reads the configuration of its ConfigMap, which equals config/', () => {
    const [map] = manifests.filter(({ kind }) => kind === 'ConfigMap');
    for (const [file, text] of Object.entries(map?.data ?? {}))
      expect(text).toBe(readFileSync(`config/${file}`, 'utf8'));
    expect(Object.keys(map?.data ?? {})).toContain('production.yaml');
    expect(list(container, 'env')).toContainEqual({ name: 'CONFIG_PATH', value: '/app/config/production.yaml' });
    expect(list(container, 'volumeMounts')).toContainEqual(expect.objectContaining({ mountPath: '/app/config' }));
  });

  it('provides every secret that the configuration reads', () => {
    const asked = readFileSync('config/production.yaml', 'utf8').matchAll(/_env: (\w+)/g);
    const given = list(container, 'env').map(({ name }) => name);
    expect(given).toEqual(expect.arrayContaining([...asked].map(([, name]) => name)));
  });

  it('listens on the ports of its probes, Service and policy', () => {
    const { config } = loadConfig({
      types: PROVIDER_TYPES,
      path: 'config/production.yaml',
      env: {},
      missingSecrets: 'warning',
    });
    expect(list(container, 'ports').map(({ containerPort }) => containerPort)).toEqual([
      config.app.port,
      config.monitoring.metrics.port,
    ]);
    expect(one(manifests, 'Service', 'support-bot').spec).toMatchObject({
      type: 'ClusterIP',
      ports: [{ port: 80, targetPort: 'http' }],
    });
    expect(one(manifests, 'Service', 'support-bot-ops').spec).toMatchObject({
      type: 'ClusterIP',
      ports: [{ port: 9090 }],
    });
  });

  it('allows the outgoing connections of the configuration: DNS, HTTPS, Redis, traces', () => {
    const policy = one(manifests, 'NetworkPolicy', 'support-bot');
    const ports = list(policy, 'spec.egress').flatMap((rule) => list(rule, 'ports').map(({ port }) => port));
    expect(new Set(ports)).toEqual(new Set([53, 443, 6379, 4318]));
    expect(at(policy, 'spec.policyTypes')).toEqual(['Ingress', 'Egress']);
  });

  it('scales down slowly, one replica at a time', () => {
    const hpa = one(manifests, 'HorizontalPodAutoscaler', 'support-bot');
    expect(hpa.spec).toMatchObject({ minReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'support-bot' } });
    expect(Number(at(hpa, 'spec.behavior.scaleDown.stabilizationWindowSeconds'))).toBeGreaterThanOrEqual(600);
    expect(list(hpa, 'spec.behavior.scaleDown.policies')).toEqual([{ type: 'Pods', value: 1, periodSeconds: 120 }]);
    expect(list(hpa, 'spec.metrics')).toHaveLength(1);
    expect(one(manifests, 'PodDisruptionBudget', 'support-bot').spec).toMatchObject({ maxUnavailable: 1 });
  });

  it('mounts no service account token', () => {
    expect(one(manifests, 'ServiceAccount', 'support-bot')).toMatchObject({ automountServiceAccountToken: false });
    expect(pod).toMatchObject({ serviceAccountName: 'support-bot', automountServiceAccountToken: false });
  });

  it('allows quiet sockets behind an Ingress', () => {
    const { annotations = {} } = one(manifests, 'Ingress', 'support-bot').metadata;
    for (const name of ['proxy-read-timeout', 'proxy-send-timeout'])
      expect(Number(annotations[`nginx.ingress.kubernetes.io/${name}`])).toBeGreaterThanOrEqual(3_600);
  });

  it('uses only kinds that every cluster has', () => {
    const groups = new Set(manifests.map(({ apiVersion }) => apiVersion.replace(/\/.*/, '')));
    expect(groups).toEqual(new Set(['v1', 'apps', 'autoscaling', 'policy', 'networking.k8s.io']));
  });
});

describe('the optional components', () => {
  const component = (name: string) => rendered.get(`component ${name}`) ?? [];

  it('scales on turns by a metric that exists', () => {
    const hpa = one(component('custom-metrics-hpa'), 'HorizontalPodAutoscaler', 'support-bot');
    const [cpu, turns, ...others] = list(hpa, 'spec.metrics');
    expect([at(cpu, 'resource.name'), at(turns, 'pods.metric.name'), others]).toEqual([
      'cpu',
      'support_bot_turns_in_flight',
      [],
    ]);
    expect(METRICS).toHaveProperty('turns_in_flight');
  });

  it('scrapes the operations port with the labels of rules and dashboard', () => {
    const monitor = one(component('pod-monitor'), 'PodMonitor', 'support-bot');
    const pods = at(one(component('pod-monitor'), 'Deployment', 'support-bot'), 'spec.template.metadata.labels');
    expect(at(pods, String(at(monitor, 'spec.jobLabel')))).toBe('support-bot');
    expect(list(monitor, 'spec.podMetricsEndpoints')).toEqual([
      expect.objectContaining({
        port: 'ops',
        path: '/metrics',
        relabelings: [{ targetLabel: 'environment', replacement: 'production' }],
      }),
    ]);
  });

  it('accepts clients only through a load balancer that terminates TLS on 443', () => {
    const manifests = component('load-balancer');
    const { spec, metadata } = one(manifests, 'Service', 'support-bot');
    expect(spec).toMatchObject({ type: 'LoadBalancer', ports: [{ name: 'https', port: 443, targetPort: 'http' }] });
    expect(Object.keys(metadata.annotations ?? {}).join()).toContain('ssl-cert');
    expect(manifests.filter(({ kind }) => kind === 'Ingress')).toEqual([]);
  });

  it.each([
    ['egress-managed-redis', [6380]],
    ['egress-redis-sentinel', [26379, 6379]],
    ['egress-redis-cluster', [6379]],
    ['egress-provider', [8000]],
    ['egress-collector', [4318]],
    ['egress-dns', [53, 53, 5353, 5353]],
  ])('allow %s to connect to ports %j of named peers, beside those of the base', (name, ports) => {
    const rules = (of: readonly Manifest[]) => list(one(of, 'NetworkPolicy', 'support-bot'), 'spec.egress');
    const base = rules(shipped());
    expect(rules(component(name)).slice(0, base.length)).toEqual(base);
    const added = rules(component(name)).slice(base.length);
    expect(added.flatMap((rule) => list(rule, 'ports').map(({ port }) => port))).toEqual(ports);
    for (const rule of added) expect(list(rule, 'to')).toHaveLength(1);
    const table = readFileSync('docs/operations/README.md', 'utf8');
    expect(table).toContain(`\`components/${name}\``);
  });

  it('accepts clients only through a Gateway API route without a limit below an answer', () => {
    const manifests = component('gateway-api');
    const [rule] = list(one(manifests, 'HTTPRoute', 'support-bot'), 'spec.rules');
    expect(rule).toMatchObject({ timeouts: { request: '0s' }, backendRefs: [{ name: 'support-bot', port: 80 }] });
    expect(one(manifests, 'Service', 'support-bot').spec).toMatchObject({ type: 'ClusterIP' });
    expect(manifests.filter(({ kind }) => kind === 'Ingress')).toEqual([]);
  });

  it('opens the ports of the mesh in the network policy', () => {
    const policy = one(component('istio'), 'NetworkPolicy', 'support-bot');
    const ports = (way: string) =>
      list(policy, `spec.${way}`).flatMap((rule) => list(rule, 'ports').map(({ port }) => port));
    expect(ports('egress')).toEqual(expect.arrayContaining([15012, 15008, 443, 6379]));
    expect(ports('ingress')).toEqual([8080, 9090, 15008]);
  });
});

describe('staging', () => {
  const manifests = rendered.get('overlay staging') ?? [];

  it('includes a Redis that never evicts keys', () => {
    const redis = one(manifests, 'StatefulSet', 'redis');
    expect(JSON.stringify(redis.spec)).toContain('maxmemory-policy noeviction');
    expect(at(redis, 'spec.template.spec.containers.0.ports.0.containerPort')).toBe(6379);
    expect(at(one(manifests, 'Service', 'redis'), 'spec.ports.0.port')).toBe(6379);
  });

  it('passes the password of Redis from the Secret, outside the process list, and stores data on a volume', () => {
    const container = at(one(manifests, 'StatefulSet', 'redis'), 'spec.template.spec.containers.0');
    expect(list(container, 'env')).toEqual([
      { name: 'REDIS_PASSWORD', valueFrom: { secretKeyRef: { name: 'support-bot-secrets', key: 'redis-password' } } },
    ]);
    expect(JSON.stringify(at(container, 'command'))).not.toContain('requirepass');
    const [claim] = list(one(manifests, 'StatefulSet', 'redis'), 'spec.volumeClaimTemplates');
    expect(list(container, 'volumeMounts')).toEqual([{ name: at(claim, 'metadata.name'), mountPath: '/data' }]);
  });

  it('starts Redis with the settings that the container writes and with a password', async () => {
    const container = at(one(manifests, 'StatefulSet', 'redis'), 'spec.template.spec.containers.0');
    const [script = ''] = (at(container, 'args') as readonly string[] | undefined) ?? [];
    const folder = mkdtempSync(join(tmpdir(), 'sluice-staging-redis-'));
    // With every character that its configuration file could take for something else.
    const PASSWORD = 'of "staging" \\ $HOME # %s';
    const port = await freePort();
    // The container's own lines; only the folder and the port are a test's.
    const line = script.replace('dir /data', `dir ${folder}\nport ${port}`);
    const env = { PATH: process.env['PATH'] ?? '', REDIS_PASSWORD: PASSWORD };
    const server = spawn('sh', ['-c', line], { env, stdio: 'ignore' });
    const redis = new Redis({
      host: '127.0.0.1',
      port,
      password: PASSWORD,
      disconnectTimeout: 100,
      retryStrategy: () => 50,
    });
    redis.on('error', () => undefined);
    try {
      expect(await redis.ping()).toBe('PONG');
      for (const [name, value] of [
        ['maxmemory-policy', 'noeviction'],
        ['appendonly', 'yes'],
        ['maxmemory', String(256 * 1024 * 1024)],
      ])
        expect(await redis.config('GET', name ?? '')).toEqual([name, value]);
      const [, , probe = ''] = (at(container, 'readinessProbe.exec.command') as readonly string[] | undefined) ?? [];
      const probed = (password: string) =>
        spawnSync('sh', ['-c', probe.replace('redis-cli', `redis-cli -p ${port}`)], {
          env: { ...env, REDIS_PASSWORD: password },
        }).status;
      expect([probed(PASSWORD), probed('another')]).toEqual([0, 1]);
      const stranger = redis.duplicate({ password: '', lazyConnect: true, retryStrategy: () => null });
      stranger.on('error', () => undefined);
      await expect(stranger.ping()).rejects.toThrow();
      stranger.disconnect();
      await redis.quit();
      // It is process 1 of its container and must exit on SIGTERM.
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
    } finally {
      redis.disconnect();
      server.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('allows only the assistant to reach Redis', () => {
    expect(one(manifests, 'NetworkPolicy', 'redis').spec).toMatchObject({
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'support-bot' } } }], ports: [{ port: 6379 }] }],
    });
    expect(one(manifests, 'NetworkPolicy', 'redis').spec).not.toHaveProperty('egress');
  });

  it('names the configuration file of staging to its Deployment', () => {
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
    'sends every client through the gateway of %s, so that shares are exact',
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

  it('sends a tenth of the clients to a canary, and those that request it by header or query', () => {
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

  it('routes no request to canary pods without a canary', () => {
    expect(JSON.stringify(routesOf('istio'))).not.toContain('canary');
  });

  it.each(['istio', 'istio-canary'])('gives %s timeouts above the longest answer', (name) => {
    for (const route of routesOf(name)) expect(route['timeout']).toBe('0s');
  });

  it('selects the pods of each variant independently of the version', () => {
    const manifests = ofComponent('istio-canary');
    const subsets = list(one(manifests, 'DestinationRule', 'support-bot'), 'spec.subsets');
    const labels = at(one(manifests, 'Deployment', 'support-bot'), 'spec.template.metadata.labels');
    expect(subsets).toEqual([
      { name: 'stable', labels: { instance: at(labels, 'instance') } },
      { name: 'canary', labels: { instance: 'support-bot-canary' } },
    ]);
  });
});

it('finds the rendered manifests up to date', () => {
  const checked = () =>
    execFileSync('node', ['monitoring/render/main.ts', '--check'], { encoding: 'utf8', stdio: 'pipe' });
  expect(checked).not.toThrow();
});
