/*
 * Chaos: three replicas behind a load balancer, a real Redis, viewers of every kind, and everything
 * that can go wrong at once. Every viewer sees every event once and in order, or receives an error
 * that says it cannot; no viewer is left hanging.
 *
 * CHAOS_SEED repeats an order of faults; CHAOS_EVENTS and CHAOS_VIEWERS make it longer and wider
 * (`npm run soak`).
 */

import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { seeded } from '../official/official.js';
import { LocalCluster } from '../../scripts/development/cluster/local-cluster.js';
import { type Replica } from '../../scripts/development/cluster/replica.js';
import { slowness, SLOWEST } from '../support/machine.js';
import { Crowd } from './crowd.js';
import { FAULT_KINDS, Faults, pause } from './faults.js';

const SEED = Number(process.env['CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));
/** Faults continue until so many events were delivered, and for this long at least. */
const EVENTS = Number(process.env['CHAOS_EVENTS'] ?? 5_000);
const VIEWERS = Number(process.env['CHAOS_VIEWERS'] ?? 60);
const LEAST_MS = 30_000;
/**
 * After the last fault every answer must have ended within this on a quiet machine: a lost
 * replica's within 12 s, then what waited for it in line.
 */
const SETTLE_MS = 45_000;
const CATCH_UP_MS = 20_000;
const MOST_MS = EVENTS * 10 + 60_000;
const CONVERSATIONS = 8;

let cluster: LocalCluster;
beforeAll(async () => {
  const options =
    `${process.env['NODE_OPTIONS'] ?? ''} --import=${new URL('trouble.mjs', import.meta.url).href}`.trim();
  const silence = `${Math.ceil(2 * slowness())}s`;
  cluster = await LocalCluster.start({
    env: { ...process.env, NODE_OPTIONS: options },
    config: {
      state: { max_messages: 1_000 },
      middleware: { template: { enabled: false } },
      websocket: { heartbeat_interval: silence, heartbeat_timeout: silence },
      http: { sse_keep_alive: '2s' },
    },
  });
});
afterAll(() => cluster.close());

async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const init =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const answer = await fetch(`${cluster.url}${path}`, { method, ...init });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  // The caller names the shape that the protocol gives.
  return (await answer.json()) as T;
}

interface Item {
  readonly role: string;
  readonly content: readonly { readonly text?: string }[];
  readonly sluice: { readonly response_id: string };
}

/**
 * One writer at a time: a turn's question and answer follow each other, once, and the answer is
 * what viewers saw.
 */
async function conversationMistakes({ truth, shown }: Crowd, conversation: string): Promise<string[]> {
  const mistakes: string[] = [];
  const items: Item[] = [];
  for (let after = ''; ;) {
    const page = await call<{ data: Item[]; has_more: boolean; last_id: string }>(
      'GET',
      `/v1/conversations/${conversation}/items?limit=100&order=asc${after}`,
    );
    items.push(...page.data);
    if (!page.has_more) break;
    after = `&after=${page.last_id}`;
  }
  const seen = new Set<string>();
  items.forEach(({ role, content, sluice: { response_id: id } }, i) => {
    const before = items[i - 1];
    const first = before?.sluice.response_id !== id;
    if (first && seen.has(id)) mistakes.push(`${conversation}: ${id} is in it twice or torn apart`);
    seen.add(id);
    if (first !== (role === 'user')) mistakes.push(`${conversation}: ${id} has a ${role} item out of place`);
    if (role !== 'assistant') return;
    const view = truth.views.find((one) => one.id === id && one.asked.deltas !== undefined);
    if (view?.over === true && view.end !== 'refused' && view.text !== content[0]?.text)
      mistakes.push(`${conversation}: ${id} keeps another text than was seen`);
  });
  for (const id of seen) {
    for (const [i, device] of shown.entries()) {
      if (device.conversation === conversation && !device.responses.has(id))
        mistakes.push(`${conversation}: subscription ${i} never showed ${id}`);
    }
  }
  for (const view of truth.views) {
    const asked = view.asked.deltas !== undefined && view.asked.conversation === conversation;
    if (asked && view.end === 'completed' && !seen.has(view.id ?? ''))
      mistakes.push(`${conversation}: ${view.id} is not in it`);
  }
  return mistakes;
}

/** A device whose connection broke shortly before the end still has to read what it missed. */
async function lastingMistakes(crowd: Crowd, conversation: string): Promise<string[]> {
  for (const until = performance.now() + CATCH_UP_MS; ;) {
    const mistakes = await conversationMistakes(crowd, conversation);
    if (mistakes.length === 0 || performance.now() > until) return mistakes;
    await pause(250);
  }
}

/** What no replica may say or do, however bad the world is. */
function replicaMistakes(replica: Replica): string[] {
  const bad = /unhandled|uncaught|Cannot read prop|is not a function|RangeError|out of memory/iu;
  const said = replica.lines
    .filter((line) => bad.test(line))
    .map((line) => `${replica.name} said: ${line.slice(0, 2_000)}`);
  const ended = replica.ends
    .filter(({ expected }) => !expected)
    .map(({ code }) => `${replica.name} ended with ${code}`);
  return [...said, ...ended];
}

it(
  `loses nothing, doubles nothing, leaves no viewer hanging (CHAOS_SEED=${SEED})`,
  async () => {
    const startedAt = performance.now();
    const seconds = (): string => `${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s`;
    const said: string[] = [];
    const say = (line: string): void => void said.push(`${seconds()}  ${line}`);

    const conversations = await Promise.all(
      Array.from(
        { length: CONVERSATIONS },
        async () => (await call<{ id: string }>('POST', '/v1/conversations', {})).id,
      ),
    );
    const crowd = new Crowd({ url: cluster.url, conversations, seed: SEED, subscribes: true });
    const { truth } = crowd;
    const running = crowd.run(VIEWERS);
    const faults = new Faults(cluster, seeded(SEED), say);
    await pause(1_500);
    const over = (): boolean => {
      const ms = performance.now() - startedAt;
      return ms > MOST_MS || (ms > LEAST_MS && truth.delivered >= EVENTS && faults.counts.size === FAULT_KINDS);
    };
    await faults.run(over, [700, 2_200]);
    say('the last fault is repaired');
    crowd.stop();
    // Viewers keep the process alive as long as they run; the patience with them must not outlive
    // them.
    const settleMs = SETTLE_MS * slowness();
    await Promise.race([running, new Promise((resolve) => setTimeout(resolve, settleMs).unref())]);
    say('settled');
    for (const replica of cluster.replicas) await faults.counters.end(replica);

    const hanging = truth.views.filter(({ over: ended }) => !ended);
    const mistakes = [
      ...truth.violations,
      ...faults.violations,
      ...hanging.map(({ kind, id, last }) => `${kind} ${id ?? '(no id)'} hangs after ${last}`),
      ...cluster.replicas.flatMap(replicaMistakes),
    ];
    for (const conversation of conversations) mistakes.push(...(await lastingMistakes(crowd, conversation)));
    crowd.close();

    const of = (name: string): number => faults.counters.of(name);
    const list = (counts: Iterable<[string, number]>): string =>
      [...counts].map(([k, n]) => `${k} ${n}`).join(', ') || 'none';
    const report = [
      `CHAOS_SEED=${SEED}: ${VIEWERS} viewers, ${seconds().trim()}`,
      ...said,
      `faults: ${list(faults.counts)}; connections cut: ${faults.cut}; exit codes of restarts: ${faults.exitCodes.join(' ')}`,
      `delivered ${truth.delivered} events of ${truth.responses.size} responses to ${truth.views.length} views`,
      `ends: ${list(Object.entries(truth.ends()))}; refusals: ${list(truth.refusals)}; official clients replaced: ${crowd.gaveUp}`,
      `resumes: ${faults.counters.byLabel('resumes_total')}; snapshots ${of('snapshots_total')}; gaps healed ${of('gaps_healed_total')}; tail finds ${of('tail_finds_total')}`,
      `orphans ended ${of('orphans_ended_total')}; fenced ${of('fenced_writes_total')}; tail repairs ${of('tail_repairs_total')}; subscriber resets ${of('subscriber_resets_total')}`,
      `closes: ${faults.counters.byLabel('websocket_closes_total')}; state errors: ${faults.counters.byLabel('state_errors_total')}`,
    ].join('\n');
    process.stdout.write(`${report}\n`);
    if (process.env['CHAOS_LOGS'] !== undefined)
      for (const { name, lines } of cluster.replicas)
        process.stdout.write(`-- ${name}\n${lines.slice(-100).join('\n')}\n`);

    expect(mistakes).toEqual([]);
    expect(truth.delivered).toBeGreaterThanOrEqual(EVENTS);
    expect(faults.counts.size).toBe(FAULT_KINDS);
  },
  MOST_MS + SLOWEST * SETTLE_MS + 60_000,
);
