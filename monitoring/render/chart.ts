/*
 * The Helm chart, made from the manifests of the production overlay and the Prometheus operator's
 * component. Its default values render the same objects as kustomize; what an operator changes in
 * an overlay is a value here.
 */

import { parseAllDocuments, stringify } from 'yaml';

/** A manifest as far as the chart changes it. */
interface Manifest {
  readonly kind: string;
  readonly metadata: { name: string; labels: Record<string, string>; annotations?: Record<string, string> };
  // Its fields differ by kind; the policy checks of test/operations read the rendered chart.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  spec: any;
  data?: unknown;
}

export interface ChartSource {
  /** What `kubectl kustomize` prints for the production overlay. */
  readonly overlay: string;
  readonly podMonitor: string;
  /** The content of the configuration file. */
  readonly config: string;
  /** Of the software, and so of the chart. */
  readonly version: string;
}

const HEADER =
  'Rendered by `npm run render` from k8s/ and config/production.yaml; edit those, or monitoring/render/chart.ts.';

const HELPERS = `{{- /* ${HEADER} */ -}}
{{- define "support-bot.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag }}{{ end }}
{{- end }}
{{- /* Named by its content, so that a change rolls out and pods of an old revision keep theirs. */ -}}
{{- define "support-bot.config" -}}
support-bot-config-{{ .Values.config | sha256sum | trunc 10 }}
{{- end }}
`;

/** @returns the text of every file of the chart, by its path below the chart's folder */
export function chart(source: ChartSource): Map<string, string> {
  const manifests = [source.overlay, source.podMonitor].flatMap((text) =>
    parseAllDocuments(text).map((document) => document.toJS() as Manifest),
  );
  const { labels } = required(manifests, 'Deployment').metadata;
  const values = valuesOf(manifests, source.config);
  const files = new Map([
    [
      'Chart.yaml',
      `# ${HEADER}\n${toYaml({
        apiVersion: 'v2',
        name: 'support-bot',
        description: 'Sluice, a streaming chat gateway, deployed as a customer-support assistant',
        type: 'application',
        version: source.version,
        appVersion: labels['version'],
        // `preStop.sleep`.
        kubeVersion: '>=1.30.0-0',
      })}`,
    ],
    ['values.yaml', valuesText(values)],
    ['values.schema.json', `${JSON.stringify(schemaOf(values), null, 2)}\n`],
    ['templates/_helpers.tpl', HELPERS],
  ]);
  for (const manifest of manifests) files.set(`templates/${fileOf(manifest)}`, templateOf(manifest));
  return files;
}

/** Helm reads YAML 1.1, where `off` is a boolean. */
const toYaml = (value: unknown): string => stringify(value, { version: '1.1', lineWidth: 0 });

interface Value {
  readonly comment: string;
  // Defaults of any type; their schema is derived from them.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly value: any;
}

/** The values with their defaults, which are what the manifests say. */
function valuesOf(manifests: readonly Manifest[], config: string): Record<string, Value> {
  const of = (kind: string) => required(manifests, kind);
  const deployment = of('Deployment').spec.template;
  const [container] = deployment.spec.containers;
  const hpa = of('HorizontalPodAutoscaler').spec;
  const ingress = of('Ingress');
  return {
    image: {
      comment: 'The tag is the version that the pods are labelled with, also if a digest (sha256:...) names the image.',
      value: { ...imageOf(container.image, deployment.metadata.labels.version), pullPolicy: container.imagePullPolicy },
    },
    replicas: { comment: 'Used only without the autoscaler.', value: hpa.minReplicas },
    autoscaling: {
      comment: 'By the CPU that a replica uses, as docs/operations/capacity.md plans.',
      value: {
        enabled: true,
        minReplicas: hpa.minReplicas,
        maxReplicas: hpa.maxReplicas,
        averageCpu: hpa.metrics[0].resource.target.averageValue,
      },
    },
    resources: {
      comment: 'If you change the memory, change the heap in `nodeOptions`, too.',
      value: container.resources,
    },
    nodeOptions: {
      comment: 'The heap stays below the memory limit: buffers, sockets and code are outside of it.',
      value: container.env.find(({ name }: { name: string }) => name === 'NODE_OPTIONS').value,
    },
    ingress: {
      comment: 'With TLS only; the Secret holds the certificate of the host.',
      value: {
        enabled: true,
        className: ingress.spec.ingressClassName,
        host: ingress.spec.rules[0].host,
        tlsSecret: ingress.spec.tls[0].secretName,
        annotations: ingress.metadata.annotations,
      },
    },
    secretName: {
      comment: 'A Secret that you create, with the keys openai-api-key, redis-password and sluice-api-key.',
      value: 'support-bot-secrets',
    },
    extraEnv: { comment: 'Environment variables that a changed configuration reads, as in a container.', value: [] },
    podMonitor: {
      comment: 'For clusters with the Prometheus operator; the environment is a variable of the dashboard.',
      value: { enabled: false, environment: 'production' },
    },
    extraEgress: {
      comment: 'Rules of the NetworkPolicy, for a Redis, provider or collector elsewhere (k8s/components/egress-*).',
      value: [],
    },
    config: {
      comment: 'The whole configuration file: --set-file config=FILE. Its ports stay 8080 and 9090.',
      value: config,
    },
  };
}

/** The image's parts; one by digest has its version in the pods' label only. */
function imageOf(image: string, version: string) {
  const [named = '', digest = ''] = image.split('@');
  // A colon before the last slash is the port of a registry.
  return { repository: named.replace(/:[^:/]*$/, ''), tag: version, digest };
}

function valuesText(values: Readonly<Record<string, Value>>): string {
  const sections = Object.entries(values).map(
    ([key, { comment, value }]) => `# ${comment}\n${toYaml({ [key]: value })}`,
  );
  return `# ${HEADER}\n\n${sections.join('\n')}`;
}

/** Maps and lists that are passed on to Kubernetes as they are. */
const OPEN = new Set(['resources', 'annotations']);

/**
 * Refuses a key that the chart does not know and a value of another type, such as a tag that YAML
 * reads as a number.
 */
function schemaOf(values: Readonly<Record<string, Value>>): object {
  const schema = (key: string, value: unknown): object => {
    if (Array.isArray(value)) return { type: 'array', items: { type: 'object' } };
    if (typeof value === 'number') return { type: 'integer', minimum: 1 };
    if (key === 'digest') return { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' };
    if (typeof value !== 'object' || value === null) return { type: typeof value, ...minimumOf(value) };
    if (OPEN.has(key)) return { type: 'object' };
    return closed(Object.entries(value));
  };
  const closed = (entries: readonly (readonly [string, unknown])[]) => ({
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(entries.map(([key, value]) => [key, schema(key, value)])),
  });
  const { properties, ...rest } = closed(Object.entries(values).map(([key, { value }]) => [key, value]));
  // Helm adds `global` where the chart is another one's dependency.
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    ...rest,
    properties: { ...properties, global: { type: 'object' } },
  };
}

const minimumOf = (value: unknown) => (typeof value === 'string' ? { minLength: 1 } : {});

/** `Service support-bot-ops`: `service-ops.yaml`. */
function fileOf({ kind, metadata }: Manifest): string {
  const words = kind.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();
  const suffix = kind === 'ConfigMap' ? '' : metadata.name.replace(/^support-bot/, '');
  return `${words}${suffix}.yaml`;
}

/** Marks a place in a manifest; the text replaces it once the manifest is YAML. */
class Marks {
  readonly #texts: ((indent: number) => string)[] = [];

  /** One value. */
  value(expression: string): string {
    return this.#add(() => ` {{ ${expression} }}`);
  }

  /** A map or a list. */
  block(expression: string): string {
    return this.#add((indent) => `\n{{- ${expression} | nindent ${indent + 2} }}`);
  }

  /** The items of a list of values, behind those of the manifest. */
  items(name: string): string {
    return this.#add((indent) => `{{- with ${name} }}\n{{- toYaml . | nindent ${indent} }}\n{{- end }}`);
  }

  /** A line that is there under a condition; for a key without a value. */
  line(condition: string, text: string): string {
    return this.#add((indent) => `{{- if ${condition} }}\n${' '.repeat(indent)}${text}\n{{- end }}`);
  }

  #add(text: (indent: number) => string): string {
    this.#texts.push(text);
    return `MARK${this.#texts.length - 1}END`;
  }

  apply(yaml: string): string {
    const text = (indent: string, mark: string) => this.#texts[Number(mark)]?.(indent.length) ?? '';
    return yaml
      .replaceAll(/^( *)(?:- )?MARK(\d+)END(?:: null)?$/gm, (_, indent: string, mark: string) => text(indent, mark))
      .replaceAll(/^( *)(.*:) MARK(\d+)END$/gm, (_, indent: string, key: string, mark: string) => {
        return `${indent}${key}${text(indent + (key.startsWith('- ') ? '  ' : ''), mark)}`;
      });
  }
}

function templateOf(manifest: Manifest): string {
  const marks = new Marks();
  const condition = withValues(manifest, marks);
  const text = marks.apply(toYaml(manifest));
  const body = condition === undefined ? text : `{{- if ${condition} }}\n${text}{{- end }}\n`;
  return `# ${HEADER}\n${body}`;
}

/**
 * Puts marks where values belong.
 * @returns the condition under which the object exists, or undefined if it always does
 */
function withValues(manifest: Manifest, marks: Marks): string | undefined {
  const { kind, metadata, spec } = manifest;
  const configName = marks.value('include "support-bot.config" . | quote');
  switch (kind) {
    case 'ConfigMap':
      metadata.name = configName;
      manifest.data = marks.block('toYaml (dict "production.yaml" .Values.config)');
      return undefined;
    case 'Deployment':
      deployment(manifest, marks, configName);
      return undefined;
    case 'HorizontalPodAutoscaler':
      spec.minReplicas = marks.value('.Values.autoscaling.minReplicas');
      spec.maxReplicas = marks.value('.Values.autoscaling.maxReplicas');
      spec.metrics[0].resource.target.averageValue = marks.value('.Values.autoscaling.averageCpu | quote');
      return '.Values.autoscaling.enabled';
    case 'Ingress':
      metadata.annotations = marks.block('toYaml .Values.ingress.annotations') as never;
      spec.ingressClassName = marks.value('.Values.ingress.className | quote');
      spec.rules[0].host = marks.value('.Values.ingress.host | quote');
      spec.tls[0] = {
        hosts: marks.block('list .Values.ingress.host | toYaml'),
        secretName: marks.value('.Values.ingress.tlsSecret | quote'),
      };
      return '.Values.ingress.enabled';
    case 'NetworkPolicy':
      spec.egress.push(marks.items('.Values.extraEgress'));
      return undefined;
    case 'PodMonitor':
      spec.podMetricsEndpoints[0].relabelings[0].replacement = marks.value('.Values.podMonitor.environment | quote');
      return '.Values.podMonitor.enabled';
    default:
      return undefined;
  }
}

function deployment({ metadata, spec }: Manifest, marks: Marks, configName: string): void {
  const version = marks.value('.Values.image.tag | quote');
  metadata.labels['version'] = version;
  spec[marks.line('not .Values.autoscaling.enabled', 'replicas: {{ .Values.replicas }}')] = null;
  spec.template.metadata.labels.version = version;
  const [container] = spec.template.spec.containers;
  container.image = marks.value('include "support-bot.image" . | quote');
  container.imagePullPolicy = marks.value('.Values.image.pullPolicy | quote');
  container.resources = marks.block('toYaml .Values.resources');
  for (const variable of container.env) {
    if (variable.name === 'NODE_OPTIONS') variable.value = marks.value('.Values.nodeOptions | quote');
    if (variable.valueFrom) variable.valueFrom.secretKeyRef.name = marks.value('.Values.secretName | quote');
  }
  container.env.push(marks.items('.Values.extraEnv'));
  const volumes = spec.template.spec.volumes;
  volumes.find(({ name }: { name: string }) => name === 'config').configMap.name = configName;
}

function required(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind);
  if (found === undefined) throw new Error(`unable to render the chart; no ${kind} in the overlay; add it`);
  return found;
}
