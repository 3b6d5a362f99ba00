/*
 * Dashboards and alerts show the truth: a real Prometheus scrapes two real replicas, and the result
 * of every query of the dashboard and of the rules is compared with the responses that the load
 * received. Then Redis is stopped and the provider fails, and the on-call operator is notified of
 * both.
 */

import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { alertRules, type Windows } from '../../monitoring/render/alerts.js';
import { dashboard, queriesOf } from '../../monitoring/render/dashboard.js';
import { loadConfig } from '../../src/config/load.js';
import { PROVIDER_TYPES } from '../../src/provider/registry.js';
import {
  deltaChunk,
  FakeOpenAiServer,
  type FakeRequest,
  finishChunk,
  usageChunk,
  DONE,
} from '../support/fake-openai-server.js';
import { RedisServer } from '../../scripts/development/cluster/redis.js';
import { Replica, type ReplicaConfig } from '../../scripts/development/cluster/replica.js';
import { isTerminalFrame, TestSocket } from '../support/socket.js';
import { Monitoring } from './support/monitoring.js';
import { operands, queriesIn } from './support/queries.js';

/** A host with known prices, resolved to this machine. */
const PRICED_HOST = 'prices.openai.azure.com';
const RESOLVER = `import dns from 'node:dns';import {createRequire} from 'node:module';
const cjs=createRequire('file:///')('node:dns');const lookup=cjs.lookup;
cjs.lookup=(name,...rest)=>lookup(name==='${PRICED_HOST}'?'127.0.0.1':name,...rest);void dns;`;
const WINDOWS: Windows = {
  rate: '15s',
  pending: '1s',
  availability: '1s',
  cost: '1s',
  event: '1m',
  patience: '1s',
  traffic: ['10s', '20s'],
  upgrade: '1s',
  trial: '10s',
  burn: { fast: ['30s', '10s'], slow: ['60s', '20s'] },
};
const FIRST_TEXT_AFTER_MS = 120;
const RATE_INTERVAL_SECONDS = 600;

const { config } = loadConfig({
  types: PROVIDER_TYPES,
  path: 'config/production.yaml',
  env: {},
  missingSecrets: 'warning',
});
const rules = alertRules({ ...config, alerts: { ...config.alerts, error_rate_threshold: 0.5 } }, WINDOWS);
const board = queriesOf(dashboard(config)).map(({ panel, expr }) => ({
  panel,
  expr: expr
    .replaceAll('$__rate_interval', `${RATE_INTERVAL_SECONDS}s`)
    .replaceAll('$environment', 'production')
    .replaceAll('$replica', '.*'),
}));
const exprOf = (panel: string, nth = 0) => board.filter((query) => query.panel === panel)[nth]?.expr ?? '';

interface Received {
  readonly id: string;
  readonly status: string;
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number } | null;
  readonly sluice: { readonly cost_usd: number | null };
}

/** Makes a replica say that it is another version. */
const OTHER_VERSION = `import {createRequire,syncBuiltinESMExports} from 'node:module';
const fs=createRequire('file:///')('node:fs');const read=fs.readFileSync;
fs.readFileSync=(path,...rest)=>{const text=read(path,...rest);
return typeof text==='string'&&String(path).endsWith('/package.json')?text.replace(/"version": "[^"]+"/,'"version": "1.1.0"'):text};
syncBuiltinESMExports();`;
const preload = (code: string): string => `--import data:text/javascript,${encodeURIComponent(code)}`;

let provider: FakeOpenAiServer;
let redis: RedisServer;
let replicas: readonly [Replica, Replica];
let file: ReplicaConfig;
const ENV = { PATH: process.env['PATH'], OPENAI_API_KEY: 'sk-test-not-a-key' };
let monitoring: Monitoring;
/** Terminal responses that the load received. */
const received: Received[] = [];
let deltas = 0;
let longestFirstTextSeconds = 0;

beforeAll(async () => {
  provider = await FakeOpenAiServer.start(answer);
  redis = await RedisServer.start();
  const port = new URL(provider.baseUrl).port;
  file = {
    app: { name: 'support-bot', environment: 'production' },
    provider: { type: 'openai', model: 'gpt-4o', base_url: `http://${PRICED_HOST}:${port}/v1` },
    state: { type: 'redis', url: `redis://127.0.0.1:${redis.port}` },
    clients: { models: ['without-a-price'] },
    // No collector listens there.
    monitoring: {
      logging: { level: 'info', format: 'json' },
      tracing: { enabled: true, endpoint: 'http://127.0.0.1:9/v1/traces' },
    },
    middleware: {
      provider: { retry: { max_attempts: 2, backoff: 'constant' }, breaker: { failures: 50 } },
      template: { source: resolve('packs/support.pack.json'), default: 'support' },
      validator: { banned_words: ['hack'] },
    },
  };
  const env = { ...ENV, NODE_OPTIONS: preload(RESOLVER) };
  replicas = await Promise.all([Replica.start('a', file, env), Replica.start('b', file, env)]);
  monitoring = await Monitoring.start(
    replicas.map(({ opsPort }) => `127.0.0.1:${opsPort}`),
    rules,
  );
  await load();
  // Whatever the load did is in the newest scrape; series that began with it have two samples.
  const scrapes = () => monitoring.number('min(count_over_time(up[10m]))');
  const after = (await scrapes()) + 3;
  while ((await scrapes()) < after) await new Promise((resolve) => setTimeout(resolve, 100));
});
afterAll(async () => {
  await monitoring.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  await redis.close();
  await provider.close();
});

function answer(request: FakeRequest) {
  const asked = JSON.stringify(request.body.messages?.at(-1) ?? '');
  if (request.body.messages === undefined) return { status: 404, body: {} };
  if (asked.includes('fail')) return { status: 500, body: { error: { message: 'scripted' } } };
  const text = (content: string) => ofModel(deltaChunk({ content }));
  const begun = [ofModel(deltaChunk({ role: 'assistant' })), { waitMs: FIRST_TEXT_AFTER_MS }, text('Some words. ')];
  if (asked.includes('slow')) {
    const pieces = Array.from({ length: 40 }, () => [{ waitMs: 100 }, text('and ')]).flat();
    return { steps: [...begun, ...pieces, finishChunk(), usageChunk(), DONE] };
  }
  if (asked.includes('stay')) return { steps: [...begun, { hang: true } as const] };
  return { steps: [...begun, { waitMs: 50 }, text('More words.'), finishChunk(), usageChunk(), DONE] };
}

function ofModel({ chunk }: { readonly chunk: object }) {
  return { chunk: { ...chunk, model: 'gpt-4o' } };
}

/** A known load on both replicas. */
async function load(): Promise<void> {
  const onOne = async (replica: Replica): Promise<void> => {
    for (let i = 0; i < 6; i++) await json(replica, 'Hello');
    for (let i = 0; i < 4; i++) await stream(replica, 'Hello');
    await onSocket(replica);
    await json(replica, 'Please hack it');
    expect((await post(replica, { input: 7 })).status).toBe(400);
  };
  await Promise.all(replicas.map(onOne));
  for (let i = 0; i < 3; i++) await json(replicas[i % 2 === 0 ? 0 : 1], 'fail');
  // Count every delta in a log, as a later viewer receives it.
  for (const { id } of received) {
    const replay = await fetch(`${replicas[0].url}/v1/responses/${id}?stream=true`);
    deltas += [...(await replay.text()).matchAll(/^event: \S+\.delta$/gm)].length;
  }
}

function post(replica: Replica, body: object): Promise<Response> {
  return fetch(`${replica.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

async function json(replica: Replica, input: string): Promise<void> {
  const answer = (await (await post(replica, { input })).json()) as
    Received | { readonly error: { response_id: string } };
  if ('id' in answer) received.push(answer);
  else {
    // A failed turn is an HTTP error that names its response.
    const failed = await fetch(`${replica.url}/v1/responses/${answer.error.response_id}`);
    received.push((await failed.json()) as Received);
  }
}

async function stream(replica: Replica, input: string): Promise<void> {
  const startedAt = performance.now();
  const answered = await post(replica, { input, stream: true });
  let text = '';
  for await (const chunk of answered.body ?? []) {
    const before = text.includes('.delta');
    text += Buffer.from(chunk).toString();
    if (!before && text.includes('.delta')) noteFirstText(startedAt);
  }
  const terminal = [...text.matchAll(/^data: (\{.*)$/gm)].at(-1)?.[1] ?? '';
  received.push((JSON.parse(terminal) as { readonly response: Received }).response);
}

function noteFirstText(startedAt: number): void {
  longestFirstTextSeconds = Math.max(longestFirstTextSeconds, (performance.now() - startedAt) / 1_000);
}

/** Sends one turn that completes and is read again, and one turn that is cancelled. */
async function onSocket(replica: Replica): Promise<void> {
  const socket = await TestSocket.open(replica.socketUrl);
  let startedAt = performance.now();
  socket.send({ type: 'response.create', input: 'Hello' });
  await socket.next('response.output_text.delta');
  noteFirstText(startedAt);
  const ended = (await socket.next(isTerminalFrame))['response'] as Received;
  received.push(ended);
  socket.send({ type: 'sluice:resume', response_id: ended.id });
  await socket.next(isTerminalFrame);
  startedAt = performance.now();
  socket.send({ type: 'response.create', input: 'stay' });
  const { id } = (await socket.next('response.created'))['response'] as Received;
  await socket.next('response.output_text.delta');
  noteFirstText(startedAt);
  socket.send({ type: 'response.cancel', response_id: id });
  received.push((await socket.next(isTerminalFrame))['response'] as Received);
  socket.close();
  await socket.closed;
}

const total = (of: (response: Received) => number) => received.reduce((sum, response) => sum + of(response), 0);

describe('the metrics after a known load', () => {
  it('counts turns by outcome in turns_total', async () => {
    for (const [status, count] of [
      ['success', 2 * (6 + 4 + 1)],
      ['error', 3],
      ['refused', 2 * (1 + 1)],
      ['cancelled', 2],
    ])
      expect([status, await monitoring.number(`sum(support_bot_requests_total{status="${status}"})`)]).toEqual([
        status,
        count,
      ]);
    expect(received).toHaveLength(2 * (6 + 4 + 2 + 1) + 3);
  });

  it('counts tokens and cost of a known load', async () => {
    const tokens = (direction: string) =>
      monitoring.number(`sum(support_bot_tokens_total{direction="${direction}", model="gpt-4o"})`);
    expect(await tokens('input')).toBe(total(({ usage }) => usage?.input_tokens ?? 0));
    expect(await tokens('output')).toBe(total(({ usage }) => usage?.output_tokens ?? 0));
    const cost = total(({ sluice }) => sluice.cost_usd ?? 0);
    expect(cost).toBeGreaterThan(0);
    expect(await monitoring.number('sum(support_bot_llm_cost_usd)')).toBeCloseTo(cost, 9);
  });

  it('counts each delta that a viewer receives', async () => {
    expect(await monitoring.number('sum(support_bot_response_deltas_total)')).toBe(deltas);
  });

  it('counts failed calls, retries, findings, refusals and sockets', async () => {
    expect(await monitoring.number('sum(support_bot_provider_errors_total{code="server_error"})')).toBe(3 * 2);
    expect(await monitoring.number('sum(support_bot_provider_retries_total)')).toBe(3);
    expect(
      await monitoring.number(
        'sum(support_bot_guardrail_findings_total{guardrail="banned_words", stage="input", decision="deny"})',
      ),
    ).toBe(2);
    expect(await monitoring.number('sum(support_bot_refusals_total)')).toBe(2);
    expect(await monitoring.number('sum(support_bot_connections)')).toBe(0);
    expect(await monitoring.number('sum(support_bot_websocket_closes_total)')).toBe(2);
    expect(await monitoring.number('sum(support_bot_turns_in_flight)')).toBe(0);
  });
});

describe('the exemplars of the durations', () => {
  it.each(['request_duration_seconds', 'time_to_first_delta_seconds'])(
    'links the exemplars of %s to traces of turns',
    async (name) => {
      const logged = replicas.flatMap(({ lines }) => [...lines.join('\n').matchAll(/"trace_id":"(\w+)"/g)]);
      const traces = new Set(logged.map(([, id]) => id));
      const found = await monitoring.exemplars(`support_bot_${name}_bucket`);
      expect(found.length).toBeGreaterThan(0);
      for (const labels of found) expect([labels, traces.has(labels['trace_id'])]).toEqual([labels, true]);
    },
  );
});

describe('the dashboard after a known load', () => {
  // Prometheus counts an increase from rates that it extrapolates: about the truth, never exactly.
  const expectAbout = (found: number, value: number) => {
    expect(found).toBeGreaterThan(value * 0.85);
    expect(found).toBeLessThan(value * 1.15);
  };
  /** How much a panel's rate says that something grew, where its labels are these. */
  async function grown(panel: string, labels: Labels = {}, nth = 0): Promise<number> {
    const samples = await monitoring.query(exprOf(panel, nth));
    const fitting = samples.filter((one) =>
      Object.entries(labels).every(([name, value]) => one.labels[name] === value),
    );
    return fitting.reduce((sum, { value }) => sum + value, 0) * RATE_INTERVAL_SECONDS;
  }
  const usage = (of: 'input_tokens' | 'output_tokens') => total((response) => response.usage?.[of] ?? 0);
  const costs = () => total(({ sluice }) => sluice.cost_usd ?? 0);

  type Labels = Readonly<Record<string, string>>;
  const counts: readonly (readonly [string, Labels, () => number])[] = [
    ['Request Rate', { status: 'success' }, () => 22],
    ['Request Rate', { status: 'error' }, () => 3],
    ['Request Rate', { status: 'refused' }, () => 4],
    ['Request Rate', { status: 'cancelled' }, () => 2],
    ['Errors by cause', { code: 'server_error' }, () => 3],
    ['Errors by cause', { code: 'state_unavailable' }, () => 0],
    ['Deltas a second', {}, () => deltas],
    ['Refusals', { code: 'invalid_value' }, () => 2],
    ['Guardrail findings', { guardrail: 'banned_words', stage: 'input', decision: 'deny' }, () => 2],
    ['Provider errors', { code: 'server_error' }, () => 6],
    ['Retries', {}, () => 3],
    ['Closes', { code: '1005' }, () => 2],
    ['Resumes', { mode: 'replay' }, () => 2],
    ['Slow readers', {}, () => 0],
    ['Store errors', {}, () => 0],
  ];
  it.each(counts)('draws the known count in the panel %s %j', async (panel, labels, count) => {
    if (count() === 0) expect(await grown(panel, labels)).toBe(0);
    else expectAbout(await grown(panel, labels), count());
  });

  // A model's series begin with its first turn, which a rate does not see: less than all of it,
  // never more.
  const ofAModel: readonly (readonly [string, Labels, () => number, number])[] = [
    ['Tokens a second', { direction: 'input' }, () => usage('input_tokens'), RATE_INTERVAL_SECONDS],
    ['Tokens a second', { direction: 'output' }, () => usage('output_tokens'), RATE_INTERVAL_SECONDS],
    ['LLM Cost', { model: 'gpt-4o' }, costs, RATE_INTERVAL_SECONDS / 3_600],
    ['Cost in the last hour', { model: 'gpt-4o' }, costs, 1],
  ];
  it.each(ofAModel)('draws tokens and cost of a model in the panel %s %j', async (panel, labels, all, factor) => {
    const found = ((await grown(panel, labels)) / RATE_INTERVAL_SECONDS) * factor;
    expect(found).toBeGreaterThan(all() * 0.5);
    expect(found).toBeLessThan(all() * 1.15);
  });

  it('shows the error rate', async () => {
    expectAbout(await monitoring.number(exprOf('Error Rate')), 3 / 31);
  });

  it('shows a P99 between the time of the provider and the time of a client', async () => {
    const p99 = await monitoring.number(exprOf('Response Time P99'));
    expect(p99).toBeGreaterThan(FIRST_TEXT_AFTER_MS / 1_000);
    // A quantile is as exact as its buckets: here the next bound is at most twice as far.
    expect(p99).toBeLessThan(Math.max(0.5, 2 * longestFirstTextSeconds));
    expect(await monitoring.number(exprOf('Response Time P99', 1))).toBeGreaterThan(0.17);
    expect(await monitoring.number(exprOf('Time to first delta'))).toBeGreaterThan(FIRST_TEXT_AFTER_MS / 1_000 / 2);
  });

  it('shows idle gauges and a healthy state', async () => {
    const now = async (panel: string, nth = 0) =>
      (await monitoring.query(exprOf(panel, nth))).map(({ value }) => value);
    expect(await now('Turns in flight')).toEqual([0]);
    expect(await now('Turns in flight', 1)).toEqual([0]);
    expect(await now('Circuit breaker')).toEqual([0, 0]);
    expect(await now('Open sockets and viewers')).toEqual([0, 0]);
    expect(await now('Drains')).toEqual([0, 0]);
    expect(await now('State store reachable')).toEqual([1, 1]);
    for (const bytes of await now('Memory')) expect(bytes).toBeGreaterThan(50e6);
    for (const cores of await now('CPU')) expect(cores).toBeGreaterThan(0);
    const [commands] = await now('Commands a delta');
    expect(commands).toBeGreaterThan(0);
  });

  describe('the variables of the dashboard', () => {
    const list = (dashboard(config).templating?.list ?? []).filter(({ type }) => type === 'query');
    const values = async (name: string) => {
      const [, metric = '', label = ''] =
        /^label_values\((\w+), (\w+)\)$/.exec(String(list.find((one) => one.name === name)?.query)) ?? [];
      return monitoring.labelValues(metric, label);
    };

    it('offers the existing environments and replicas in the variables of the dashboard', async () => {
      expect(list.map(({ name }) => name)).toEqual(['environment', 'replica']);
      expect(await values('environment')).toEqual(['production']);
      expect(await values('replica')).toEqual(replicas.map(({ opsPort }) => `127.0.0.1:${opsPort}`).toSorted());
    });

    it('selects one replica, and no unknown environment, by the variables of the dashboard', async () => {
      const [first] = replicas;
      const only = `127.0.0.1:${first.opsPort}`;
      const memory = exprOf('Memory');
      const chosen = await monitoring.query(memory.replace('instance=~".*"', `instance=~"${only}"`));
      expect(chosen.map(({ labels }) => labels['instance'])).toEqual([only]);
      expect(await monitoring.query(memory.replace('environment=~"production"', 'environment=~"staging"'))).toEqual([]);
    });
  });
});

const firing = (alert: string) => monitoring.until(`ALERTS{alertname="${alert}", alertstate="firing"}`);
const [first, second] = [() => replicas[0], () => replicas[1]];

/** Repeats `work` until the alert fires. */
async function untilFiring(alert: string, work: () => Promise<unknown>): Promise<void> {
  let fires = false;
  const fired = firing(alert).then(() => (fires = true));
  while (!fires) await Promise.all([work(), tick()]);
  await fired;
}

describe('an outage of Redis', () => {
  beforeAll(() => redis.kill());

  it('notifies the operator', async () => {
    await monitoring.called('StateStoreAway', 'on-call', 'firing');
    await monitoring.until('sum(support_bot_state_errors_total) > 0');
  });

  it('fires NoReplicaReady, and RequestsRefused while clients are refused', async () => {
    await firing('NoReplicaReady');
    await untilFiring('RequestsRefused', () => Promise.all([1, 2, 3].map(() => post(first(), { input: 'Hello' }))));
  });

  it('ends when Redis is back', async () => {
    await redis.start();
    await monitoring.until('min(support_bot_state_up) == 1');
    await monitoring.until('min(support_bot_ready) == 1');
  });
});

describe('the alerts of the first weeks', () => {
  it('fire SpansDropped while no collector takes spans, and the log says so once a minute', async () => {
    await untilFiring('SpansDropped', () => json(first(), 'Hello'));
    const lines = first().lines.filter((line) => line.includes('spans dropped, the collector does not take them'));
    expect(lines.length).toBeGreaterThan(0);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ collector: '127.0.0.1:9', spans: expect.any(Number) });
  });

  it('fire UnpricedCalls for a model without a price', async () => {
    await untilFiring('UnpricedCalls', () => post(first(), { input: 'Hello', model: 'without-a-price' }));
  });

  it('fire ReplicaDown, LowAvailability and ReplicasLost when one of two replicas dies within a turn', async () => {
    const socket = await TestSocket.open(second().socketUrl);
    socket.send({ type: 'response.create', input: 'stay' });
    await socket.next('response.output_text.delta');
    await second().kill();
    await Promise.all(['ReplicaDown', 'LowAvailability', 'ReplicasLost'].map(firing));
    await second().start();
    await monitoring.until('sum(up) == 2');
  });

  it('fire TailRepaired when Redis loses the newest events of a running turn', async () => {
    const socket = await TestSocket.open(first().socketUrl);
    socket.send({ type: 'response.create', input: 'slow' });
    const { id } = (await socket.next('response.created'))['response'] as Received;
    await socket.next('response.output_text.delta');
    const keys = await redis.admin.keys(`*${id}*`);
    const older = await Promise.all(keys.map((key) => redis.admin.dumpBuffer(key)));
    for (let i = 0; i < 4; i++) await socket.next('response.output_text.delta');
    await redis.admin.multi(keys.map((key, i) => ['restore', key, 0, older[i], 'REPLACE'])).exec();
    await firing('TailRepaired');
    const ended = (await socket.next(isTerminalFrame))['response'] as Received & { readonly output_text: string };
    expect(ended).toMatchObject({ status: 'completed', output_text: `Some words. ${'and '.repeat(40)}` });
    expect(first().lines.join('\n')).toContain('rewrote events lost by the state store');
    socket.close();
  });

  describe('that need no requests', () => {
    let noTraffic: Promise<void>;
    let memoryHigh: Promise<void>;
    let other: Replica;
    // Their times pass side by side.
    beforeAll(async () => {
      // Before the memory is limited: its connections take some.
      other = await Replica.start('c', file, { ...ENV, NODE_OPTIONS: preload(OTHER_VERSION) });
      const used = await monitoring.number('max(support_bot_state_used_bytes)');
      expect(used).toBeGreaterThan(500_000);
      await redis.admin.call('CONFIG', 'SET', 'maxmemory', String(Math.round(used * 1.1)));
      memoryHigh = firing('StateMemoryHigh');
      for (let i = 0; i < 150; i++) await (await post(first(), { input: 7 })).arrayBuffer();
      noTraffic = firing('NoTraffic');
    });
    afterAll(() => monitoring.until('max(support_bot_state_max_bytes) == 0'));

    it('fire TwoVersions while a replica of another version runs beside the others', async () => {
      expect(await monitoring.query('ALERTS{alertname="TwoVersions"}')).toEqual([]);
      const all = [...replicas, other].map(({ opsPort }) => `127.0.0.1:${opsPort}`);
      monitoring.setTargets(all);
      await firing('TwoVersions');
      const versions = await monitoring.query('count by (version) (support_bot_build_info)');
      expect(versions.map(({ labels }) => labels['version'])).toContain('1.1.0');
      monitoring.setTargets(all.slice(0, 2));
      await other.close();
      await monitoring.until('count(up) == 2');
    });

    it('fire NoTraffic when no request comes where there were many before', () => noTraffic);

    it('fire StateMemoryHigh when Redis is nearly full', async () => {
      await memoryHigh;
      await redis.admin.call('CONFIG', 'SET', 'maxmemory', '0');
    });

    it('fire TargetsAbsent when Prometheus finds no replica', async () => {
      monitoring.setTargets([]);
      await firing('TargetsAbsent');
      monitoring.setTargets(replicas.map(({ opsPort }) => `127.0.0.1:${opsPort}`));
      await monitoring.until('sum(up) == 2');
    });
  });
});

// After the alerts above, because an alert fires for 15 s after its cause, and silences others.
describe('the notification of an operator', () => {
  it('arrives again when Redis is back', () => monitoring.called('StateStoreAway', 'on-call', 'resolved'));

  it('arrives through Prometheus, Alertmanager and a webhook when the provider fails', async () => {
    let heard = false;
    const called = monitoring.called('HighErrorRate', 'on-call', 'firing').then(() => (heard = true));
    while (!heard) await Promise.all([...replicas.map((replica) => post(replica, { input: 'fail' })), tick()]);
    await called;
    const [call] = monitoring.calls.filter(({ alerts }) =>
      alerts.some(({ labels }) => labels['alertname'] === 'HighErrorRate'),
    );
    expect(call?.alerts[0]).toMatchObject({
      labels: { severity: 'critical', app: 'support-bot' },
      annotations: { runbook_url: expect.stringContaining('#higherrorrate') },
    });
  });
});

describe('the query of a panel', () => {
  it.each(board.map(({ panel, expr }) => [panel, expr]))('%s: %s', async (_panel, expr) => {
    const samples = await monitoring.query(expr);
    // A quantile of what did not happen meanwhile is none; another series of the same query has
    // one.
    expect(samples.filter(({ value }) => !Number.isNaN(value))).not.toEqual([]);
  });

  it.each(
    rules.groups.flatMap(({ rules: all }) =>
      all.flatMap(({ alert, expr }) => operands(expr).map((part) => [alert, part])),
    ),
  )('%s looks at %s', async (_alert, part) => {
    const wider = part.replaceAll(/\[\d+[smh]\]/g, `[${RATE_INTERVAL_SECONDS}s]`);
    const samples = await monitoring.query(wider);
    // A quantile of what did not happen meanwhile is none; another series of the same query has
    // one.
    expect(samples.filter(({ value }) => !Number.isNaN(value))).not.toEqual([]);
  });
});

describe('the query of a document', () => {
  const pages = ['docs/operations/README.md', 'docs/operations/runbook.md', 'docs/operations/capacity.md'];

  it.each(pages.flatMap(queriesIn))('%s: %s', async (_page, expr) => {
    // What says that something is wrong says nothing while all is well, but each side of it has
    // data.
    for (const part of operands(expr)) {
      const samples = await monitoring.query(part.replaceAll(/\[\d+[smh]\]/g, `[${RATE_INTERVAL_SECONDS}s]`));
      expect([part, samples.length > 0]).toEqual([part, true]);
    }
  });

  it('finds the query of a document in its document', () => {
    for (const page of pages) expect([page, queriesIn(page).length > 0]).toEqual([page, true]);
    expect(pages.flatMap(queriesIn).length).toBeGreaterThan(20);
  });
});

function tick(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 200));
}
