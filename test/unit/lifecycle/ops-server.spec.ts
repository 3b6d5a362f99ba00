import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { type MetricsExposition, OpsServer } from '../../../src/lifecycle/ops-server.js';
import { type OverloadProbe, Readiness, type StateProbe } from '../../../src/lifecycle/readiness.js';
import { startFailure } from '../../../src/lifecycle/start-failure.js';
import { DrainState } from '../../../src/turn/drain-state.js';

const EXPOSITION: MetricsExposition = {
  exposition: (format) => Promise.resolve({ contentType: `text/${format}`, body: 'support_bot_requests_total 1\n' }),
};
const ANSWERS: StateProbe = { ping: () => Promise.resolve() };
const load = (overloaded: boolean): OverloadProbe => ({ overloaded, figures: () => ({ turns_in_flight: 3 }) });

let health: HealthCheckService;
let indicators: HealthIndicatorService;
const open: OpsServer[] = [];

beforeAll(async () => {
  const app = await Test.createTestingModule({ imports: [TerminusModule.forRoot({ logger: false })] }).compile();
  health = app.get(HealthCheckService);
  indicators = app.get(HealthIndicatorService);
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.onApplicationShutdown()));
});

interface Setup {
  drain?: DrainState;
  state?: StateProbe;
  overloaded?: boolean;
  metrics?: MetricsExposition | null;
  metricsPath?: string;
}

async function start(
  setup: Setup = {},
): Promise<(path: string, method?: string, accept?: string) => Promise<Response>> {
  const readiness = new Readiness(
    health,
    indicators,
    setup.drain ?? new DrainState(),
    setup.state ?? ANSWERS,
    load(setup.overloaded ?? false),
    { statePingTimeoutMs: 50 },
  );
  const server = new OpsServer(readiness, setup.metrics === undefined ? EXPOSITION : setup.metrics, {
    host: '127.0.0.1',
    port: 0,
    metricsPath: setup.metricsPath ?? '/metrics',
  });
  await server.onApplicationBootstrap();
  open.push(server);
  return (path, method = 'GET', accept = '*/*') =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { method, headers: { accept } });
}

describe('GET /health', () => {
  it('returns healthy as long as the process answers, also while it drains without a state store', async () => {
    const drain = new DrainState();
    drain.startDraining();
    const get = await start({ drain, state: { ping: () => Promise.reject(new Error('gone')) } });
    const answer = await get('/health');
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: 'healthy' });
  });
});

describe('GET /ready', () => {
  it('answers GET /ready of a ready replica with 200', async () => {
    const answer = await (await start())('/ready');
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: 'ready' });
  });

  it('returns not ready while it drains, with the details of Terminus', async () => {
    const drain = new DrainState();
    const get = await start({ drain, overloaded: true });
    drain.startDraining();
    const answer = await get('/ready');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      status: 'not ready',
      reason: 'draining',
      details: {
        draining: { status: 'down' },
        state: { status: 'up' },
        load: { status: 'down', turns_in_flight: 3 },
      },
    });
  });

  it('returns not ready when the state store refuses, without the text of the driver', async () => {
    const refused = Object.assign(new Error('connect to redis://user:hunter2@redis failed'), { code: 'ECONNREFUSED' });
    const answer = await (await start({ state: { ping: () => Promise.reject(refused) } }))('/ready');
    expect(answer.status).toBe(503);
    const body = await answer.text();
    expect(JSON.parse(body)).toMatchObject({
      reason: 'state store unavailable',
      details: { state: { status: 'down', message: 'no answer (ECONNREFUSED)' } },
    });
    expect(body).not.toContain('hunter2');
  });

  it('returns not ready when the state store does not answer', async () => {
    const answer = await (await start({ state: { ping: () => new Promise(() => undefined) } }))('/ready');
    expect(await answer.json()).toMatchObject({ status: 'not ready', reason: 'state store unavailable' });
  });

  it('returns not ready when the replica is overloaded', async () => {
    const answer = await (await start({ overloaded: true }))('/ready');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ status: 'not ready', reason: 'overloaded' });
  });
});

describe('GET /metrics', () => {
  it('returns the exposition at the configured path', async () => {
    const get = await start({ metricsPath: '/internal/metrics' });
    const answer = await get('/internal/metrics?from=prometheus');
    expect(answer.headers.get('content-type')).toBe('text/text');
    expect(await answer.text()).toBe('support_bot_requests_total 1\n');
    expect((await get('/metrics')).status).toBe(404);
  });

  it.each([
    ['*/*', 'text'],
    ['text/plain', 'text'],
    ['text/html, application/xhtml+xml', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;q=0.3,text/plain;q=0.5', 'text'],
    ['application/openmetrics-text;version=2.0.0', 'text'],
    ['application/openmetrics-text;q=none', 'text'],
    ['application/openmetrics-text', 'openmetrics'],
    // Prometheus 2.42.
    [
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      'openmetrics',
    ],
    // Prometheus 3.
    [
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.1',
      'openmetrics',
    ],
  ])('answers Accept: %s as %s', async (accept, format) => {
    const answer = await (await start())('/metrics', 'GET', accept);
    expect(answer.headers.get('content-type')).toBe(`text/${format}`);
  });

  it('answers GET /metrics with 404 when metrics are off, while the probes remain', async () => {
    const get = await start({ metrics: null });
    expect((await get('/metrics')).status).toBe(404);
    expect((await get('/health')).status).toBe(200);
    expect((await get('/ready')).status).toBe(200);
  });

  it('answers 500 when rendering fails, and continues to serve', async () => {
    const get = await start({ metrics: { exposition: () => Promise.reject(new Error('broken')) } });
    expect((await get('/metrics')).status).toBe(500);
    expect((await get('/health')).status).toBe(200);
  });
});

describe('anything else', () => {
  it.each(['/', '/readyz', '/health/', '/v1/responses'])('answers 404 for %s', async (path) => {
    expect((await (await start())(path)).status).toBe(404);
  });

  it('refuses methods that write', async () => {
    expect((await (await start())('/health', 'POST')).status).toBe(404);
  });

  it('answers HEAD without a body', async () => {
    const answer = await (await start())('/ready', 'HEAD');
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  it('fails to start on a taken port with an error that says which key to change', async () => {
    await start();
    const port = open[0]?.port ?? 0;
    const second = new OpsServer({ report: () => Promise.resolve({ status: 'ready' }) }, null, {
      host: '127.0.0.1',
      port,
      metricsPath: '/metrics',
    });
    const thrown: unknown = await second.onApplicationBootstrap().catch((error: unknown) => error);
    const failure = startFailure(thrown, {
      configPath: 'config/staging.yaml',
      app: { host: '127.0.0.1', port: 8080 },
      ops: { host: '127.0.0.1', port },
    });
    expect(failure).toEqual({
      exitCode: 69,
      isBug: false,
      lines: [
        `unable to start; port ${port} is taken by another program; end that program, or change \`monitoring.metrics.port\` in config/staging.yaml`,
      ],
    });
    await second.onApplicationShutdown();
  });
});
