/*
 * The manifests against the official OpenAPI schemas of three Kubernetes minors
 * (scripts/release/kubernetes-schemas.mjs), strict: an unknown field, a wrong type or a missing one
 * is a mistake, as for a server with field validation. No cluster has run them.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { charts } from './support/helm.js';
import { COMPONENTS, type Manifest, one, OVERLAYS, render, renderWith, shipped } from './support/manifests.js';

const FOLDER = 'test/fixtures/kubernetes';
const MINORS = readdirSync(FOLDER).map((file) => file.replace('.json', ''));
/** Groups of the cluster itself; the others are of what is installed in it. */
const OWN = /^(v1|apps\/v1|autoscaling\/v2|policy\/v1|networking\.k8s\.io\/v1)$/;

const all = [
  ...shipped(),
  ...OVERLAYS.flatMap((name) => render(`k8s/overlays/${name}`)),
  ...COMPONENTS.flatMap((name) => renderWith(name)),
  ...charts().flatMap(([, manifests]) => manifests),
].filter(({ apiVersion }) => OWN.test(apiVersion));

function validatorOf(minor: string): (manifest: Manifest) => string[] {
  const { kinds, definitions } = JSON.parse(readFileSync(`${FOLDER}/${minor}.json`, 'utf8')) as {
    readonly kinds: Readonly<Record<string, string>>;
    readonly definitions: object;
  };
  const ajv = new Ajv({ strict: false, allErrors: true });
  ajv.addSchema({ $id: minor, definitions });
  return (manifest) => {
    const kind = `${manifest.apiVersion}/${manifest.kind}`;
    const ref = kinds[kind];
    if (ref === undefined) return [`there is no schema of ${kind}`];
    const validate = ajv.getSchema(`${minor}${ref}`);
    if (validate?.(manifest) === true) return [];
    return (validate?.errors ?? []).map(({ instancePath, message }) => `${manifest.kind} ${instancePath} ${message}`);
  };
}

it('knows three minor versions', () => expect(MINORS).toHaveLength(3));

describe.each(MINORS)('the API of Kubernetes %s', (minor) => {
  const mistakesIn = validatorOf(minor);

  it('takes every manifest of every overlay, every component and the chart', () => {
    expect(all.length).toBeGreaterThan(100);
    expect(all.flatMap(mistakesIn)).toEqual([]);
  });

  it('refuses an unknown field, a wrong type and a missing field', () => {
    const service = one(shipped(), 'Service', 'support-bot');
    const deployment = one(shipped(), 'Deployment', 'support-bot');
    const wrong: Manifest[] = [
      { ...service, spec: { ...service.spec, portz: [] } },
      { ...service, spec: { ...service.spec, ports: 80 } },
      { ...deployment, spec: { replicas: 1 } },
    ];
    for (const manifest of wrong) expect(mistakesIn(manifest)).not.toEqual([]);
  });
});

/*
 * A server fills in defaults, and rewrites some values to its own form. What a manifest leaves out,
 * an apply leaves to the server; what it writes in another form than the server's is a difference
 * at every apply, which a GitOps tool shows or corrects for ever.
 */
describe('an apply of what runs changes nothing', () => {
  type Field = readonly [path: string, value: unknown];
  const fieldsOf = (value: unknown, path = ''): Field[] => {
    const own: Field[] = path === '' ? [] : [[path, value]];
    if (typeof value !== 'object' || value === null) return own;
    return [...own, ...Object.entries(value).flatMap(([key, inner]) => fieldsOf(inner, `${path}/${key}`))];
  };
  const fields = all.flatMap((manifest) =>
    fieldsOf(manifest).map(([path, value]): Field => [`${manifest.kind} ${manifest.metadata.name} ${path}`, value]),
  );
  const QUANTITY = /\/(?:(?:requests|limits)\/[a-z-]+|averageValue|sizeLimit|storage)$/u;

  it('leaves out what the server drops or owns', () => {
    const dropped = fields.filter(
      ([path, value]) =>
        value === null ||
        (Array.isArray(value) && value.length === 0 && !path.endsWith('/ingress') && !path.endsWith('/egress')) ||
        /^\S+ \S+ \/(?:status|metadata\/(?:creationTimestamp|uid|resourceVersion|generation|managedFields))$/u.test(
          path,
        ) ||
        (/\/(?:clusterIPs?|nodePort|healthCheckNodePort)$/u.test(path) && value !== 'None'),
    );
    expect(dropped).toEqual([]);
  });

  it('writes quantities as the server stores them', () => {
    const quantities = fields.filter(([path]) => QUANTITY.test(path));
    expect(quantities.length).toBeGreaterThan(20);
    expect(quantities.filter(([, value]) => !isCanonical(value))).toEqual([]);
  });

  it.each([
    ['1000m', false],
    ['1024Mi', false],
    ['0.5', false],
    ['2000', false],
    [1, false],
    ['300m', true],
    ['384Mi', true],
    ['1Gi', true],
    ['2', true],
  ])('knows whether %s is as the server stores it: %s', (quantity, expected) => {
    expect(isCanonical(quantity)).toBe(expected);
  });

  /** Whether a quantity is a string with the largest suffix that leaves it whole. */
  function isCanonical(quantity: unknown): boolean {
    const [, digits, suffix] =
      /^(\d+)(m|k|M|G|Ki|Mi|Gi|Ti)?$/u.exec(typeof quantity === 'string' ? quantity : '') ?? [];
    if (digits === undefined) return false;
    return Number(digits) % (suffix?.endsWith('i') === true ? 1_024 : 1_000) !== 0;
  }
});
