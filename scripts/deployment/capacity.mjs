/*
 * From measured costs to a number of replicas and Redis shards: plain arithmetic, every input an
 * option. Measured inputs are in docs/operations/measured.json, taken from the output of `npm run
 * bench`; the others are assumed and marked so.
 *
 *   node scripts/deployment/capacity.mjs --sockets 1000000
 *   node scripts/deployment/capacity.mjs --from bench/results/cpu-100-….json --from bench/results/idle-….json      with these measurements
 *   node scripts/deployment/capacity.mjs --from … --write        keeps them, and renews the examples of docs/operations/capacity.md
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const MEASURED = new URL('../../docs/operations/measured.json', import.meta.url);
const PAGE = new URL('../../docs/operations/capacity.md', import.meta.url);
const USAGE = 64;

/** `[standard, meaning]`; without a standard value it is measured. */
const INPUTS = {
  sockets: [1_000_000, 'open sockets'],
  streaming: [0.02, 'share of them that a response is streamed to at any moment'],
  'deltas-per-second': [50, 'deltas a second and stream, as the provider sends them'],
  'cpu-us-per-delta': [undefined, 'CPU of a replica for one of them, in µs, turns included'],
  'events-per-delta': [undefined, 'events appended for each, after batching'],
  'redis-us-per-event': [undefined, 'CPU of Redis for one append, in µs'],
  'kb-per-socket': [undefined, 'heap of an open socket, in KB'],
  'kb-per-stream': [undefined, 'heap of a response that runs and its viewer, in KB'],
  'kernel-kb-per-socket': [8, 'buffers of the kernel for a socket, in KB'],
  garbage: [1.5, 'how much more the heap holds between two collections'],
  'base-mb': [undefined, 'memory of a replica without sockets, in MB'],
  'memory-mb': [512, 'memory limit of a replica, in MB'],
  'cores-per-replica': [0.5, 'CPU limit of a replica, in cores'],
  'deltas-per-answer': [400, 'deltas of an answer; 400 are about 2,000 characters'],
  'redis-kb-running': [
    undefined,
    'memory of Redis for the log of such an answer until it is packed, 10 s after its end, in KB',
  ],
  'redis-kb-packed': [undefined, 'the same for the rest of the 10 minutes after its end, in KB'],
  'redis-kb-stored': [undefined, 'the same for its stored response and its items, in KB'],
  'stored-hours': [24, 'how long these are stored after the last use (state.ttl), in hours'],
  use: [0.6, 'share of CPU and memory that is planned with; the rest is for peaks and for a replica that is lost'],
};
const LIMITS = new Set(['memory-mb', 'cores-per-replica']);

/** @returns {Record<string, number>} */
export function capacity(given) {
  const streams = given.sockets * given.streaming;
  const deltas = streams * given['deltas-per-second'];
  const cores = (deltas * given['cpu-us-per-delta']) / 1e6;
  const byCpu = Math.ceil(cores / (given['cores-per-replica'] * given.use));
  const heapKb = (given.sockets * given['kb-per-socket'] + streams * given['kb-per-stream']) * given.garbage;
  const memoryMb = (heapKb + given.sockets * given['kernel-kb-per-socket']) / 1_024;
  const room = given['memory-mb'] * given.use - given['base-mb'];
  const byMemory = room <= 0 ? Infinity : Math.ceil(memoryMb / room);
  const replicas = Math.max(byCpu, byMemory);
  const redisCores = (deltas * given['events-per-delta'] * given['redis-us-per-event']) / 1e6;
  // One Redis process executes commands on one core.
  const shards = Math.max(1, Math.ceil(redisCores / given.use));
  const socketsPerReplica = given.sockets / replicas;
  const answers = deltas / given['deltas-per-answer'];
  const seconds = given['deltas-per-answer'] / given['deltas-per-second'];
  const logsKb = answers * (given['redis-kb-running'] * (seconds + 10) + given['redis-kb-packed'] * 590);
  const storedKb = answers * given['redis-kb-stored'] * given['stored-hours'] * 3_600;
  const redisGb = (logsKb + storedKb) / 1_024 ** 2;
  return {
    streams,
    deltas,
    cores,
    byCpu,
    memoryMb,
    byMemory,
    replicas,
    socketsPerReplica,
    redisCores,
    shards,
    answers,
    redisGb,
  };
}

/**
 * The inputs in a result file of the benchmark, with their source. Takes the rows with state in
 * Redis if they were measured.
 */
export function measuredIn({ scenario, at, hardware, systems }) {
  const system = systems.find(({ name }) => name === 'sluice-redis') ?? systems.find(({ name }) => name === 'sluice');
  if (system === undefined) throw new Error(`${scenario} was not measured for Sluice`);
  const inMemory = system.name === 'sluice' ? ', state in memory' : '';
  const from = `measured, ${scenario}${inMemory}; ${at.slice(0, 10)}, ${hardware.cpu}, ${hardware.cores} cores`;
  const { cpuPerDelta, eventsPerDelta, redisCpuPerDelta, heapKb } = system.median;
  const found = {
    'cpu-us-per-delta': cpuPerDelta,
    'events-per-delta': eventsPerDelta,
    'redis-us-per-event': redisCpuPerDelta === undefined ? undefined : redisCpuPerDelta / eventsPerDelta,
    ...(scenario === 'idle' ? { 'kb-per-socket': heapKb } : {}),
    ...(scenario === 'viewers' ? { 'kb-per-stream': heapKb } : {}),
  };
  const known = Object.entries(found).filter(([, value]) => value > 0);
  if (known.length === 0) throw new Error(`${scenario} says nothing of what is reckoned with here`);
  return Object.fromEntries(known.map(([name, value]) => [name, { value: Number(value.toPrecision(3)), from }]));
}

function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** Renders the arithmetic for these options, as it is printed. */
function rendered(values, measured) {
  const sources = {};
  const given = {};
  for (const [name, [standard]] of Object.entries(INPUTS)) {
    given[name] = Number(values[name] ?? measured[name]?.value ?? standard);
    if (values[name] !== undefined) sources[name] = 'given';
    else if (name in measured) sources[name] = measured[name].from;
    else sources[name] = LIMITS.has(name) ? 'k8s/base/deployment.yaml' : 'assumed';
    if (!(given[name] > 0)) throw new Error(`--${name} must be a number over 0`);
  }
  const result = capacity(given);
  const n = (value, digits = 0) => value.toLocaleString('en-US', { maximumFractionDigits: digits }).padStart(12);
  return [
    ...Object.entries(INPUTS).map(([name, [, meaning]]) => `${n(given[name], 3)}  ${meaning} (${sources[name]})`),
    '',
    `${n(result.streams)}  streams at a time, ${n(result.deltas).trim()} deltas a second`,
    `${n(result.cores, 1)}  cores of replicas at work`,
    `${n(result.byCpu)}  replicas by CPU`,
    `${n(result.memoryMb)}  MB of sockets and streams`,
    `${n(result.byMemory)}  replicas by memory`,
    `${n(result.replicas)}  replicas, with ${n(result.socketsPerReplica).trim()} sockets each`,
    `${n(result.redisCores, 1)}  cores of Redis at work`,
    `${n(result.shards)}  Redis shards by CPU`,
    `${n(result.answers, 1)}  answers a second`,
    `${n(result.redisGb, 1)}  GB of Redis at a steady load, all shards together`,
  ].join('\n');
}

function optionsOf(args) {
  const inputs = Object.fromEntries(Object.keys(INPUTS).map((name) => [name, { type: 'string' }]));
  const options = { ...inputs, from: { type: 'string', multiple: true, default: [] }, write: { type: 'boolean' } };
  return parseArgs({ args, options }).values;
}

/** Returns the page with the output of each command below it. */
export function withExamples(page, measured) {
  return page.replaceAll(
    /(```bash\nnode scripts\/deployment\/capacity\.mjs(.*)\n```\n\n```text\n)[^]*?(```)/g,
    (_all, before, words, after) => `${before}${rendered(optionsOf(words.trim().split(/\s+/)), measured)}\n${after}`,
  );
}

function main() {
  const values = optionsOf(process.argv.slice(2));
  const measured = Object.assign(read(MEASURED), ...values.from.map((file) => measuredIn(read(file))));
  console.log(rendered(values, measured));
  if (!values.write) return;
  writeFileSync(MEASURED, `${JSON.stringify(measured, null, 2)}\n`);
  writeFileSync(PAGE, withExamples(readFileSync(PAGE, 'utf8'), measured));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    main();
  } catch (error) {
    const options = ['from', 'write', ...Object.keys(INPUTS)].map((name) => `--${name}`).join(' ');
    console.error(`unable to reckon; ${error.message}\noptions: ${options}`);
    process.exitCode = USAGE;
  }
}
