/*
 * `npm run render`: writes monitoring/alerts.yaml, monitoring/dashboard.json, k8s/deployment.yaml
 * and k8s/chart from their sources. With `--check` it writes nothing and fails if one is out of
 * date. An operator who deploys another assistant changes `app.name` and renders again.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { loadConfig as loadConfigOf } from '../../src/config/load.ts';
import type { PROVIDER_TYPES as typesOf } from '../../src/provider/registry.ts';
import { alertRules } from './alerts.ts';
import { chart } from './chart.ts';
import { dashboard } from './dashboard.ts';

interface Loader {
  readonly loadConfig: typeof loadConfigOf;
}

interface Types {
  readonly PROVIDER_TYPES: typeof typesOf;
}

const root = new URL('../../', import.meta.url);
const args = process.argv.slice(2);
const check = args.includes('--check');
const configPath = args.find((arg) => !arg.startsWith('--')) ?? 'config/production.yaml';

// The compiled program knows how to read its own configuration; its path is only known after a
// build.
const { loadConfig } = (await import(new URL('dist/config/load.js', root).href)) as Loader;
const { PROVIDER_TYPES } = (await import(new URL('dist/provider/registry.js', root).href)) as Types;
const { config } = loadConfig({ types: PROVIDER_TYPES, path: configPath, missingSecrets: 'warning' });

const HEADER = `# Rendered by \`npm run render\` from ${configPath}; edit that, or monitoring/render/alerts.ts.\n`;

const overlay = execFileSync('kubectl', ['kustomize', 'k8s/overlays/production'], { cwd: root, encoding: 'utf8' });
const files = new Map([
  ['monitoring/alerts.yaml', HEADER + stringify(alertRules(config), { lineWidth: 0 })],
  ['monitoring/dashboard.json', `${JSON.stringify(dashboard(config), null, 2)}\n`],
  // For `kubectl apply -f`.
  ['k8s/deployment.yaml', `# Rendered by \`npm run render\` from k8s/overlays/production; edit that.\n${overlay}`],
  ...[...helmChart()].map(([path, text]) => [`k8s/chart/${path}`, text] as const),
]);

let stale = 0;
for (const [path, text] of files) {
  const file = new URL(path, root);
  const before = read(file);
  if (before === text) continue;
  stale += 1;
  if (check) process.stderr.write(`${path} is out of date; run \`npm run render\`\n`);
  else {
    mkdirSync(new URL('.', file), { recursive: true });
    writeFileSync(file, text);
  }
}
process.exitCode = check && stale > 0 ? 1 : 0;

/** Always of production, as k8s/deployment.yaml. */
function helmChart(): Map<string, string> {
  const text = (path: string) => readFileSync(new URL(path, root), 'utf8');
  const { version } = JSON.parse(text('package.json')) as { readonly version: string };
  const podMonitor = text('k8s/components/pod-monitor/pod-monitor.yaml');
  return chart({ overlay, podMonitor, config: text('config/production.yaml'), version });
}

function read(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
