/*
 * The Helm chart beside kustomize: the same objects by default, and each value where it belongs.
 * The policy checks of manifests.spec.ts and kubernetes-api.spec.ts run on it, too. No cluster has
 * run it.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { EVERY_VALUE, HELM_LEFT_OUT, helmLint, helmTemplate, tryHelmTemplate } from './support/helm.js';
import { at, list, type Manifest, one, shipped } from './support/manifests.js';

const DIGEST = `sha256:${'0'.repeat(64)}`;

(HELM_LEFT_OUT ? describe.skip : describe)('the Helm chart (without Go it is left out)', () => {
  const podOf = (manifests: readonly Manifest[]) => at(one(manifests, 'Deployment', 'support-bot'), 'spec.template');
  const containerOf = (manifests: readonly Manifest[]) => at(podOf(manifests), 'spec.containers.0');
  const configOf = (manifests: readonly Manifest[]) => manifests.find(({ kind }) => kind === 'ConfigMap');

  it('renders the objects of k8s/deployment.yaml by default', () => {
    // The ConfigMap of kustomize also has the file of staging, and another digest in its name.
    const plain = (manifests: readonly Manifest[]) => {
      const text = JSON.stringify(manifests).replaceAll(/support-bot-config-\w{10}/g, 'support-bot-config');
      return (JSON.parse(text) as Manifest[])
        .map(({ data, ...rest }) => (data === undefined ? rest : { ...rest, data: data['production.yaml'] }))
        .sort((a, b) => `${a.kind}${a.metadata.name}`.localeCompare(`${b.kind}${b.metadata.name}`));
    };
    expect(plain(helmTemplate())).toEqual(plain(shipped()));
  });

  it('puts every value where it belongs', () => {
    const manifests = helmTemplate(EVERY_VALUE);
    const container = containerOf(manifests);
    expect(one(manifests, 'Deployment', 'support-bot').spec).toHaveProperty('replicas', 4);
    expect(manifests.filter(({ kind }) => kind === 'HorizontalPodAutoscaler')).toEqual([]);
    expect(at(podOf(manifests), 'metadata.labels')).toHaveProperty('version', '1.1.0');
    expect(container).toMatchObject({
      image: 'registry.example.com:5000/support-bot:1.1.0',
      resources: { limits: { cpu: '500m', memory: '1Gi' }, requests: { memory: '384Mi' } },
    });
    expect(list(container, 'env')).toContainEqual({ name: 'NODE_OPTIONS', value: '--max-old-space-size=768' });
    expect(list(container, 'env')).toContainEqual({ name: 'LOG_LABEL', value: 'blue' });
    expect(one(manifests, 'Ingress', 'support-bot').spec).toMatchObject({
      ingressClassName: 'haproxy',
      tls: [{ hosts: ['chat.example.org'], secretName: 'chat-tls' }],
      rules: [{ host: 'chat.example.org' }],
    });
    const [endpoint] = list(one(manifests, 'PodMonitor', 'support-bot'), 'spec.podMetricsEndpoints');
    expect(at(endpoint, 'relabelings.0.replacement')).toBe('staging');
    const egress = (of: readonly Manifest[]) => list(one(of, 'NetworkPolicy', 'support-bot'), 'spec.egress');
    expect(egress(manifests)).toEqual([...egress(shipped()), ...EVERY_VALUE.extraEgress]);
    expect(configOf(manifests)?.data).toEqual({ 'production.yaml': EVERY_VALUE.config });
  });

  it('scales between the numbers of the values', () => {
    const autoscaling = { minReplicas: 2, maxReplicas: 6, averageCpu: '200m' };
    const manifests = helmTemplate({ autoscaling, ingress: { enabled: false } });
    const { spec } = one(manifests, 'HorizontalPodAutoscaler', 'support-bot');
    expect(spec).toMatchObject({ minReplicas: 2, maxReplicas: 6 });
    expect(at(spec, 'metrics.0.resource.target.averageValue')).toBe('200m');
    expect(manifests.filter(({ kind }) => kind === 'Ingress' || kind === 'PodMonitor')).toEqual([]);
  });

  it('reads every secret from the Secret of the values', () => {
    const env = list(containerOf(helmTemplate({ secretName: 'another' })), 'env');
    const names = env.map((variable) => at(variable, 'valueFrom.secretKeyRef.name')).filter((name) => name);
    expect(names).toEqual(['another', 'another', 'another']);
  });

  it('names the image by its digest and the pods by the tag', () => {
    const manifests = helmTemplate({ image: { digest: DIGEST, tag: '1.1.0' } });
    expect(containerOf(manifests)).toHaveProperty('image', `support-bot@${DIGEST}`);
    expect(at(podOf(manifests), 'metadata.labels.version')).toBe('1.1.0');
  });

  it('gives a changed configuration file a new name', () => {
    const names = [
      helmTemplate(),
      helmTemplate({}, ['--set-file', 'config=config/production.yaml']),
      helmTemplate({}, ['--set-file', 'config=config/staging.yaml']),
    ].map((manifests) => configOf(manifests)?.metadata.name);
    expect(names[1]).toBe(names[0]);
    expect(names[2]).not.toBe(names[0]);
  });

  it.each([
    ['an unknown key', { ingress: { hostname: 'chat.example.org' } }, /hostname/],
    ['a tag that YAML reads as a number', { image: { tag: 1.1 } }, /tag/],
    ['a digest that is none', { image: { digest: 'latest' } }, /digest/],
    ['no replica', { replicas: 0 }, /replicas/],
    ['an empty configuration', { config: '' }, /config/],
  ])('refuses %s', (_what, values, error) => {
    expect(tryHelmTemplate(values)).toMatchObject({ output: '', error: expect.stringMatching(error) });
  });

  it('renders what docs/operations installs', () => {
    const page = readFileSync('docs/operations/README.md', 'utf8');
    const [, line = ''] = /^helm upgrade --install support-bot k8s\/chart ([^]*?)^```/m.exec(page) ?? [];
    const manifests = helmTemplate(
      {},
      line.split(/[\s\\]+/).filter((word) => word !== ''),
    );
    expect(containerOf(manifests)).toHaveProperty('image', 'registry.example.com/support-bot:1.0.0');
    expect(at(one(manifests, 'Ingress', 'support-bot'), 'spec.rules.0.host')).toBe('chat.example.com');
  });

  it('passes helm lint', () => {
    expect(helmLint()).toContain('0 chart(s) failed');
  });
});
