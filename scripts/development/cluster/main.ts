/*
 * `npm run cluster`: the small deployment of the tests, reported on the console, until a signal
 * ends it.
 */

import { parseArgs } from 'node:util';
import { LocalCluster } from './local-cluster.js';
import { type Replica } from './replica.js';

const { values } = parseArgs({
  options: { replicas: { type: 'string', default: '3' }, port: { type: 'string', default: '8080' } },
});

/** How often to look for killed replicas. */
const LOOK_EVERY_MS = 250;

const cluster = await LocalCluster.start({
  replicas: Number(values.replicas),
  port: Number(values.port),
  config: { app: { name: 'sluice' }, provider: { type: 'auto' } },
}).catch((error: unknown) => {
  console.error(`unable to start the cluster; ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});

console.log(`playground     ${cluster.url}/`);
console.log(`redis          ${cluster.redis.url}`);
for (const { name, pid, url, opsUrl } of cluster.replicas)
  console.log(`${name}      pid ${pid}  ${url}  ${opsUrl}/ready`);
const [first] = cluster.replicas;
console.log(`
Request a long answer in the playground, then kill the replica that runs it, or any other: kill -9 ${first?.pid}
A killed replica is started again after 15 s. Ctrl-C ends everything.
`);

let ending = false;
const watching = setInterval(() => cluster.replicas.forEach(look), LOOK_EVERY_MS);
const waiting = new Set<Replica>();
const RESTART_AFTER_MS = 15_000;

/** Reports a replica that is gone, and restarts it, as an orchestrator would. */
function look(replica: Replica): void {
  if (replica.pid !== undefined || waiting.has(replica) || ending) return;
  waiting.add(replica);
  console.log(`${replica.name} is gone (exit code ${replica.ends.at(-1)?.code})`);
  setTimeout(() => {
    if (ending) return;
    replica.start().then(
      () => {
        waiting.delete(replica);
        console.log(`${replica.name} is back: pid ${replica.pid}`);
      },
      (error: unknown) => console.error(String(error)),
    );
  }, RESTART_AFTER_MS);
}

function end(): void {
  if (ending) return;
  ending = true;
  clearInterval(watching);
  void cluster.close().then(() => process.exit(0));
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end);
// If the parent is killed, end all processes of the cluster.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) end();
}, LOOK_EVERY_MS);
