/*
 * Traces, by an OTLP receiver that is this test: one trace for a turn, from the caller's through
 * the provider's, without message text.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OtlpTracing } from '../../src/observability/otlp-tracing.js';
import { NO_SPAN, NO_TRACING } from '../../src/observability/tracing.js';
import { DONE, FakeOpenAiServer, FAKE_USAGE, finishChunk, textChunk } from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { Replica } from '../../scripts/development/cluster/replica.js';
import { isTerminalFrame, TestSocket } from '../support/socket.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const UNSAMPLED = `00-${TRACE}-b7ad6b7169203331-00`;
const SECRET_WORDS = 'zanzibar quagga';

interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code: number };
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** What a collector is sent, in OTLP's JSON. */
class Receiver {
  readonly spans: ReceivedSpan[] = [];
  readonly bodies: string[] = [];
  readonly paths: string[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        this.paths.push(request.url ?? '');
        this.bodies.push(body);
        this.spans.push(...spansOf(body));
        response.setHeader('content-type', 'application/json').end('{}');
      });
    });
  }

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    // It listens on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  one(name: string): ReceivedSpan {
    const found = this.spans.filter((span) => span.name === name);
    if (found[0] === undefined || found.length > 1) throw new Error(`${found.length} of ${name}`);
    return found[0];
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

type Value = { readonly arrayValue?: { readonly values: readonly Value[] } } & Readonly<Record<string, unknown>>;

function spansOf(body: string): ReceivedSpan[] {
  // OTLP's documented shape.
  const { resourceSpans } = JSON.parse(body) as {
    readonly resourceSpans: readonly {
      readonly scopeSpans: readonly {
        readonly spans: readonly (Omit<ReceivedSpan, 'attributes'> & {
          readonly attributes: readonly { readonly key: string; readonly value: Value }[];
        })[];
      }[];
    }[];
  };
  const plain = (value: Value): unknown =>
    value.arrayValue === undefined ? Object.values(value)[0] : value.arrayValue.values.map(plain);
  return resourceSpans.flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        attributes: Object.fromEntries(span.attributes.map(({ key, value }) => [key, plain(value)])),
      })),
    ),
  );
}

/** How long the exporter waits for a collector, in milliseconds. */
const EXPORT_TIMEOUT_MS = 2_000;

let receiver: Receiver;
let provider: FakeOpenAiServer;
let gateway: TestGateway | undefined;
beforeEach(async () => {
  receiver = await Receiver.start();
  provider = await FakeOpenAiServer.start();
});
afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
  await provider.close();
  await receiver.close();
});

async function start(tracing: object): Promise<TestGateway> {
  gateway = await startGateway({
    config: {
      app: { name: 'support-bot', version: '1.2.3', environment: 'test' },
      provider: { type: 'openai', model: 'gpt-4o', base_url: provider.baseUrl, config: { max_tokens: 77 } },
      middleware: {
        provider: { retry: { max_attempts: 1 } },
        template: { source: 'support.pack', default: 'support' },
        validator: { banned_words: ['hack'] },
      },
      monitoring: { tracing },
    },
    env: { OPENAI_API_KEY: 'sk-test-not-a-key' },
  });
  return gateway;
}

function ask(body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(`${gateway?.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

const durationMs = ({ startTimeUnixNano, endTimeUnixNano }: ReceivedSpan) =>
  Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6;

/** What was recorded is sent at the end at the latest. */
async function ended(): Promise<void> {
  await gateway?.close();
  gateway = undefined;
}

describe('with tracing on', () => {
  it('records a turn as one trace from the caller to the provider [TRACE-1]', async () => {
    const { lines } = await start({ enabled: true, endpoint: receiver.url });
    const answer = (await (await ask({ input: SECRET_WORDS }, { traceparent: PARENT })).json()) as {
      readonly id: string;
    };
    await ended();

    const turn = receiver.one('turn');
    expect(turn).toMatchObject({ traceId: TRACE, parentSpanId: 'b7ad6b7169203331', kind: 2 });
    expect(turn.attributes).toMatchObject({
      'gen_ai.response.id': answer.id,
      'sluice.outcome': 'completed',
      'sluice.delivery': 'json',
      'sluice.endpoint': '/v1/responses',
    });
    for (const name of ['admit', 'guard input', 'guard output', 'chat gpt-4o'])
      expect(receiver.one(name)).toMatchObject({ traceId: TRACE, parentSpanId: turn.spanId });
    expect(receiver.one('render prompt')).toMatchObject({
      parentSpanId: receiver.one('admit').spanId,
      attributes: { 'sluice.prompt': 'support/support', 'sluice.prompt.version': '1.0.0' },
    });
    const appends = receiver.spans.filter(({ name }) => name === 'append');
    expect(appends.length).toBeGreaterThan(0);
    for (const append of appends) expect(append).toMatchObject({ traceId: TRACE, parentSpanId: turn.spanId });

    const call = receiver.one('chat gpt-4o');
    expect(call.kind).toBe(3);
    expect(call.attributes).toEqual({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.request.max_tokens': 77,
      'gen_ai.response.model': 'gpt-4o',
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.usage.input_tokens': FAKE_USAGE.prompt_tokens,
      'gen_ai.usage.output_tokens': FAKE_USAGE.completion_tokens,
    });
    const asked = provider.requests.find(({ path }) => path.endsWith('/chat/completions'));
    expect(asked?.headers['traceparent']).toBe(`00-${TRACE}-${call.spanId}-01`);

    // A child lies within its parent, as far as clocks of one process can tell.
    for (const span of receiver.spans)
      expect(BigInt(span.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(turn.endTimeUnixNano) + 5_000_000n);
    expect(receiver.paths.every((path) => path === '/v1/traces')).toBe(true);
    for (const word of [...SECRET_WORDS.split(' '), 'Hello', 'sk-test'])
      expect(receiver.bodies.join()).not.toContain(word);
    for (const part of ['support-bot', '1.2.3', 'deployment.environment.name'])
      expect(receiver.bodies[0]).toContain(part);
    const logged = lines.map((line) => JSON.parse(line) as { readonly msg: string; readonly trace_id?: string });
    for (const msg of ['request received', 'request completed'])
      expect(logged.find((line) => line.msg === msg)?.trace_id).toBe(TRACE);
  });

  it('prefers the trace context of a create to that of the upgrade [TRACE-1]', async () => {
    const { socketUrl } = await start({ enabled: true, endpoint: `${receiver.url}/v1/traces` });
    const socket = await TestSocket.open(socketUrl, { headers: { traceparent: PARENT } });
    const other = '11111111111111111111111111111111';
    for (const more of [{}, { 'sluice:traceparent': `00-${other}-b7ad6b7169203331-01` }]) {
      socket.send({ type: 'response.create', input: 'Hi', ...more });
      await socket.next(isTerminalFrame);
    }
    socket.close();
    await ended();
    expect(receiver.spans.filter(({ name }) => name === 'turn').map(({ traceId }) => traceId)).toEqual([TRACE, other]);
  });

  it('measures the time of the output guard without the time of the provider', async () => {
    await start({ enabled: true, endpoint: receiver.url });
    const waitMs = 150;
    provider.answerWith({
      steps: [textChunk('one '), { waitMs }, textChunk('two '), { waitMs }, textChunk('three'), finishChunk(), DONE],
    });
    await ask({ input: 'Hi' });
    await ended();
    const guard = receiver.one('guard output');
    const busyMs = Number(guard.attributes['sluice.guard.busy_ms']);
    // Three pieces of text and their end.
    expect(Number(guard.attributes['sluice.guard.checks'])).toBe(4);
    expect(durationMs(guard)).toBeGreaterThan(waitMs * 1.5);
    expect(busyMs).toBeGreaterThan(0);
    expect(busyMs).toBeLessThan(waitMs / 2);
    const call = receiver.one('chat gpt-4o');
    expect(BigInt(guard.startTimeUnixNano)).toBeGreaterThan(BigInt(call.startTimeUnixNano) - 5_000_000n);
  });

  it('traces no output guard if the input was refused, and names a prompt that cannot be rendered', async () => {
    await start({ enabled: true, endpoint: receiver.url });
    await ask({ input: 'please hack it' });
    await ask({ input: 'Hi', prompt: { id: 'support', variables: { unused: 'value' } } });
    await ended();
    expect(receiver.spans.filter(({ name }) => name === 'guard output')).toEqual([]);
    const failed = receiver.spans.filter(({ attributes }) => attributes['error.type'] === 'unknown_variable');
    expect(failed.map(({ name }) => name).toSorted()).toEqual(['admit', 'render prompt', 'turn']);
  });

  it('records failures by code, and refusals before a turn', async () => {
    await start({ enabled: true, endpoint: receiver.url });
    provider.answerWith({ status: 400, body: { error: { message: SECRET_WORDS } } });
    await ask({ input: 'Hi' });
    await ask({ input: 'Hi', previous_response_id: 'resp_unknown' });
    await ended();
    const turns = receiver.spans.filter(({ name }) => name === 'turn');
    expect(turns.map(({ status, attributes }) => [status.code, attributes['error.type']])).toEqual([
      [2, expect.stringMatching(/^provider_/)],
      [2, expect.stringMatching(/not_found/)],
    ]);
    expect(receiver.bodies.join()).not.toContain('quagga');
  });

  it('samples a share of traces and follows the decision of the caller', async () => {
    await start({ enabled: true, endpoint: receiver.url, sample_ratio: 0 });
    await ask({ input: 'Hi' });
    await ask({ input: 'Hi' }, { traceparent: UNSAMPLED });
    await ask({ input: 'Hi' }, { traceparent: PARENT });
    await ask({ input: 'Hi' }, { traceparent: 'not a context' });
    await ended();
    expect(receiver.spans.filter(({ name }) => name === 'turn')).toHaveLength(1);
    const sent = provider.requests.flatMap(({ headers }) => headers['traceparent'] ?? []);
    expect(sent.map((context) => String(context).slice(-2))).toEqual(['00', '00', '01', '00']);
  });

  it('serves and ends normally if no collector answers', async () => {
    await start({ enabled: true, endpoint: 'http://127.0.0.1:9/v1/traces' });
    expect((await ask({ input: 'Hi' })).status).toBe(200);
    await ended();
  });
});

describe('a collector that hangs', () => {
  it('loses the spans beyond the queue and counts each, and delays no end', async () => {
    const sockets = createServer(() => undefined);
    sockets.listen(0, '127.0.0.1');
    await once(sockets, 'listening');
    let dropped = 0;
    const tracing = new OtlpTracing({
      // It listens on TCP.
      endpoint: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`,
      sampleRatio: 1,
      service: { name: 'support-bot', version: '1.0.0', environment: 'test' },
      onDropped: (spans) => (dropped += spans),
    });
    for (let i = 0; i < 3_000; i++) tracing.begin('turn', undefined).end();
    expect(dropped).toBe(3_000 - 2_048);
    // Longer than a drain waits for its connections, it would be a warning at each deploy.
    const closed = tracing.close().then(() => 'closed');
    const late = new Promise((resolve) => setTimeout(resolve, EXPORT_TIMEOUT_MS)).then(() => 'late');
    expect(await Promise.race([closed, late])).toBe('closed');
    sockets.closeAllConnections();
    sockets.close();
  });
});

describe('with tracing off', () => {
  it('sends no spans', async () => {
    const { lines } = await start({ enabled: false });
    await ask({ input: 'Hi' }, { traceparent: PARENT });
    await ended();
    expect(receiver.bodies).toEqual([]);
    expect(provider.requests.map(({ headers }) => headers['traceparent']).filter(Boolean)).toEqual([]);
    expect(lines.join()).not.toContain('trace_id');
  });

  it('loads no tracing library', async () => {
    const telling = `import { registerHooks } from 'node:module';
registerHooks({ resolve: (name, context, next) => (name.startsWith('@opentelemetry/') && console.error('loads ' + name), next(name, context)) });`;
    const env = {
      PATH: process.env['PATH'],
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(telling)}`,
    };
    const loaded = async (tracing: object) => {
      const replica = await Replica.start('tracing', { monitoring: { tracing } }, env);
      await fetch(`${replica.url}/v1/models`);
      await replica.close();
      // prom-client loads the shared names; they do nothing.
      return replica.lines.filter((line) => line.startsWith('loads ') && line !== 'loads @opentelemetry/api');
    };
    expect(await loaded({ enabled: false })).toEqual([]);
    expect(await loaded({ enabled: true, endpoint: receiver.url })).toContain('loads @opentelemetry/sdk-trace');
  });

  it('uses one shared span without effect while tracing is off', () => {
    expect(NO_TRACING.begin('turn', PARENT)).toBe(NO_SPAN);
    expect(NO_SPAN.child('x')).toBe(NO_SPAN);
  });
});
