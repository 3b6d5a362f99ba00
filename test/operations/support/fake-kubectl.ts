/*
 * A kubectl for tests: records its calls, answers as a cluster with one Deployment would, and fails
 * on request. Not a cluster.
 */

import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

const DEPLOYMENT = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'support-bot', labels: { app: 'support-bot', version: '1.0.0' }, uid: 'not to be copied' },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: 'support-bot', instance: 'support-bot' } },
    template: {
      metadata: { labels: { app: 'support-bot', instance: 'support-bot', version: '1.0.0' } },
      spec: { containers: [{ name: 'support-bot', image: 'registry.example.com:5000/support-bot:1.0.0' }] },
    },
  },
  status: { readyReplicas: 4 },
};

const REDIS_CLI = `#!/usr/bin/env bash
PATH=\${PATH#*:} exec redis-cli -p "$FAKE_REDIS_PORT" "$@"
`;

/** Kept in one file: the version that runs changes when it is patched, as in a cluster. */
const PROGRAM = `#!/usr/bin/env bash
args="$*"
printf '%s\\n' "$args" >>"$FAKE_KUBECTL/calls"
if [[ -n \${FAKE_FAIL:-} && $args =~ $FAKE_FAIL ]]; then
  n=$(grep -cE "$FAKE_FAIL" "$FAKE_KUBECTL/calls")
  if [[ $n -ge \${FAKE_FAIL_FROM:-1} && $n -le \${FAKE_FAIL_TO:-999} ]]; then echo "error: asked to fail" >&2; exit 1; fi
fi
version_file="$FAKE_KUBECTL/version"
case $args in
  *"get deployment/support-bot-"*labels.version*) [[ ! -f "$FAKE_KUBECTL/green" ]] || cat "$FAKE_KUBECTL/green" ;;
  *"get service/"*selector.app*) printf 'support-bot '; [[ ! -f "$FAKE_KUBECTL/pinned" ]] || cat "$FAKE_KUBECTL/pinned" ;;
  *"get service/"*selector.version*) [[ ! -f "$FAKE_KUBECTL/pinned" ]] || cat "$FAKE_KUBECTL/pinned" ;;
  *"get pods -l app="*"-o name") [[ $args == *"version=\${FAKE_NO_PODS_OF:-none}"* ]] || echo pod/support-bot-1 ;;
  *"get configmap/"*) [[ $args == *"\${FAKE_NO_CONFIG:-none}"* ]] || echo configmap/there ;;
  *"patch service/support-bot "*) sed -n 's/.*"version":"\\([^"]*\\)".*/\\1/p' <<<"$args" | tr -d '\\n' >"$FAKE_KUBECTL/pinned" ;;
  *"get deployment/"*labels.version*) cat "$version_file" ;;
  *"get deployment/"*image*) printf '%s' "\${FAKE_IMAGE:-registry.example.com:5000/support-bot:$(cat "$version_file")}" ;;
  *"get deployment/"*"-o json") cat "$FAKE_KUBECTL/deployment.json" ;;
  *"get deployments,replicasets"*) cat "$FAKE_KUBECTL/revisions.json" ;;
  *"get secret/"*) printf '%s' "$FAKE_SECRET" | base64 ;;
  *"patch deployment/support-bot "*) sed -n 's/.*"version":"\\([^"]*\\)".*/\\1/p' <<<"$args" | tr -d '\\n' >"$version_file" ;;
  *"rollout undo "*) printf '%s' "$FAKE_UNDO_TO" >"$version_file" ;;
  "kustomize "* | *--dry-run=client*) PATH=\${PATH#*:} exec kubectl "$@" ;;
  "logs "*) [[ ! -f "$FAKE_KUBECTL/log" ]] || cat "$FAKE_KUBECTL/log" ;;
  "exec redis-0 -- "*) shift 3; REDIS_PASSWORD="$FAKE_REDIS_PASSWORD" PATH="$FAKE_KUBECTL/redis-0:$PATH" exec "$@" ;;
  "exec "*" -- node "*) shift 3; NODE_OPTIONS="--import $FAKE_KUBECTL/pod.mjs" exec "$@" ;;
  *"apply -f -") cat >"$FAKE_KUBECTL/applied" ;;
  *"port-forward "*) echo $$ >"$FAKE_KUBECTL/forwarding"; printf 'Forwarding from 127.0.0.1:%s -> 8080\\nForwarding from 127.0.0.1:%s -> 9090\\n' "$FAKE_PORT" "$FAKE_OPS_PORT"; exec sleep 60 ;;
esac
`;

export interface Revision {
  readonly revision: number;
  readonly version: string;
  readonly instance?: string;
  /** Name of its ConfigMap. */
  readonly config?: string;
}

export interface Ran {
  readonly status: number | null;
  readonly output: string;
}

export class FakeKubectl {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-kubectl-'));
  /**
   * What the fake program reads: FAKE_FAIL (an expression), FAKE_FAIL_FROM and _TO (which of the
   * calls), FAKE_SECRET, FAKE_PORT …
   */
  env: Readonly<Record<string, string>> = {};

  constructor(version = '1.0.0') {
    writeFileSync(join(this.#folder, 'kubectl'), PROGRAM);
    chmodSync(join(this.#folder, 'kubectl'), 0o755);
    this.write('deployment.json', JSON.stringify(DEPLOYMENT));
    this.write('version', version);
    this.revisions([]);
    // In the pod of Redis there is a redis-cli that knows its server; in the gateway's, a signal
    // reaches the gateway.
    mkdirSync(join(this.#folder, 'redis-0'));
    writeFileSync(join(this.#folder, 'redis-0/redis-cli'), REDIS_CLI, { mode: 0o755 });
    writeFileSync(
      join(this.#folder, 'pod.mjs'),
      `process.kill = (pid, signal) => console.log(\`\${signal} to \${pid}\`);
const fetchOf = globalThis.fetch;
globalThis.fetch = (url, init) => fetchOf(url.replace(':9090/', \`:\${process.env.FAKE_OPS_PORT}/\`), init);
`,
    );
  }

  /**
   * `green`: the version of the second colour or canary; `pinned`: the one that the Service sends
   * to.
   */
  write(file: 'version' | 'green' | 'pinned' | 'revisions.json' | 'log' | 'deployment.json', text: string): void {
    writeFileSync(join(this.#folder, file), text);
  }

  /** The ReplicaSets that the cluster still has; revision 12 runs. */
  revisions(kept: readonly Revision[]): void {
    const annotations = (revision: number) => ({ 'deployment.kubernetes.io/revision': `${revision}` });
    const replicaSets = kept.map(({ revision, version, instance = 'support-bot', config = `config-${revision}` }) => ({
      kind: 'ReplicaSet',
      metadata: { name: `support-bot-${revision}`, annotations: annotations(revision) },
      spec: {
        template: {
          metadata: { labels: { app: 'support-bot', instance, version } },
          spec: {
            containers: [{ name: 'support-bot', image: `registry.example.com:5000/support-bot:${version}` }],
            volumes: [
              { name: 'config', configMap: { name: config } },
              { name: 'tmp', emptyDir: {} },
            ],
          },
        },
      },
    }));
    const deployment = { ...DEPLOYMENT, metadata: { ...DEPLOYMENT.metadata, annotations: annotations(12) } };
    this.write('revisions.json', JSON.stringify({ kind: 'List', items: [deployment, ...replicaSets] }));
  }

  get version(): string {
    return readFileSync(join(this.#folder, 'version'), 'utf8');
  }

  get calls(): string[] {
    return this.#read('calls').trim().split('\n').filter(Boolean);
  }

  /** The calls that change something. */
  get changes(): string[] {
    return this.calls.filter((call) => !/(^| )(get|port-forward|rollout status|kustomize) /.test(call));
  }

  /** The process id of the last port-forward. */
  get forwarding(): number {
    return Number(this.#read('forwarding'));
  }

  get applied(): string {
    return this.#read('applied');
  }

  /**
   * Runs a program whose kubectl is this one. BEHIND_KUBECTL in `env`: where the other programs
   * are, instead of PATH.
   */
  run(program: string, args: readonly string[]): Promise<Ran> {
    const others = this.env['BEHIND_KUBECTL'] ?? process.env['PATH'] ?? '';
    const path = [this.#folder, resolve('node_modules/.bin'), others].join(delimiter);
    const env = { ...this.env, PATH: path, FAKE_KUBECTL: this.#folder };
    return new Promise((done) => {
      const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
      child.on('close', (status) => done({ status, output }));
    });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #read(file: string): string {
    const path = join(this.#folder, file);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}
