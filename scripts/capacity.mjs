/*
 * From measured costs to a number of replicas and Redis shards: plain arithmetic, every input an option. Knows nothing of where the numbers
 * come from; docs/operations/capacity.md says it of those that stand here.
 *
 *   node scripts/capacity.mjs --sockets 1000000 --cpu-us-per-delta 61.6
 */

import { parseArgs } from 'node:util';

const INPUTS = {
  sockets: [1_000_000, 'open sockets'],
  streaming: [0.02, 'share of them that a response is streamed to at any moment'],
  'deltas-per-second': [50, 'deltas a second and stream, as the provider sends them'],
  'cpu-us-per-delta': [61.6, 'CPU of a replica for one of them, in µs, turns included'],
  'events-per-delta': [0.51, 'events appended for each, after batching'],
  'kb-per-socket': [20, 'memory of an open socket, in KB'],
  'base-mb': [150, 'memory of a replica without sockets, in MB'],
  'memory-mb': [512, 'memory limit of a replica, in MB'],
  'cores-per-replica': [0.5, 'CPU limit of a replica, in cores'],
  use: [0.6, 'share of CPU and memory that is planned with; the rest is for peaks and for a replica that is lost'],
  'redis-us-per-event': [8, 'CPU of Redis for one append, in µs'],
};

/** @returns {Record<string, number>} */
export function capacity(given) {
  const streams = given.sockets * given.streaming;
  const deltas = streams * given['deltas-per-second'];
  const cores = (deltas * given['cpu-us-per-delta']) / 1e6;
  const byCpu = Math.ceil(cores / (given['cores-per-replica'] * given.use));
  const room = given['memory-mb'] * given.use - given['base-mb'];
  const byMemory = room <= 0 ? Infinity : Math.ceil((given.sockets * given['kb-per-socket']) / 1_024 / room);
  const replicas = Math.max(byCpu, byMemory);
  const redisCores = (deltas * given['events-per-delta'] * given['redis-us-per-event']) / 1e6;
  // One Redis process executes commands on one core.
  const shards = Math.max(1, Math.ceil(redisCores / given.use));
  return {
    streams,
    deltas,
    cores,
    byCpu,
    byMemory,
    replicas,
    socketsPerReplica: given.sockets / replicas,
    redisCores,
    shards,
  };
}

function main() {
  const options = Object.fromEntries(Object.keys(INPUTS).map((name) => [name, { type: 'string' }]));
  const { values } = parseArgs({ options });
  const given = Object.fromEntries(
    Object.entries(INPUTS).map(([name, [standard]]) => [name, Number(values[name] ?? standard)]),
  );
  const wrong = Object.entries(given).filter(([, value]) => !(value > 0));
  if (wrong.length > 0) throw new Error(`--${wrong[0][0]} must be a number over 0`);
  const result = capacity(given);
  const n = (value, digits = 0) => value.toLocaleString('en-US', { maximumFractionDigits: digits });
  for (const [name, [, meaning]] of Object.entries(INPUTS))
    console.log(`${n(given[name], 3).padStart(12)}  ${meaning}`);
  console.log(`
${n(result.streams).padStart(12)}  streams at a time, ${n(result.deltas)} deltas a second
${n(result.cores, 1).padStart(12)}  cores of replicas at work
${n(result.byCpu).padStart(12)}  replicas by CPU
${n(result.byMemory).padStart(12)}  replicas by memory
${n(result.replicas).padStart(12)}  replicas, with ${n(result.socketsPerReplica)} sockets each
${n(result.redisCores, 1).padStart(12)}  cores of Redis at work
${n(result.shards).padStart(12)}  Redis shards`);
}

if (process.argv[1] === import.meta.filename) {
  try {
    main();
  } catch (error) {
    console.error(
      `unable to reckon; ${error.message}\noptions: ${Object.keys(INPUTS)
        .map((name) => `--${name}`)
        .join(' ')}`,
    );
    process.exitCode = 64;
  }
}
