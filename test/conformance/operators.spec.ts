/* What operators see: probes, metrics after a known load, and log lines without message text. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { METRICS } from '../../src/observability/metric-table.js';
import {
  GatewayHarness,
  FAKE_TURN_TOKENS,
  heldAnswer,
  ONE_TRY,
  responseIn,
  terminalOf,
  UPSTREAM_KEY,
} from '../support/gateway-harness.js';
import { textChunk } from '../support/fake-openai-server.js';

const SECRET_INPUT = 'PLANTED-INPUT-7c1f';
const SECRET_OUTPUT = 'PLANTED-OUTPUT-93ab';
const SECRET_ARGUMENT = 'PLANTED-VARIABLE-0d2e';
const SERVER_KEY = 'sk-server-4b8d0f6a2c9e1753';
const WRONG_KEY = 'sk-wrong-9f8e7d6c5b4a3210';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({
    config: {
      app: { name: 'support-bot', version: '9.8.7' },
      auth: { mode: 'keys', keys: [{ id: 'ann', key_env: 'KEY_ANN', tenant: 'a', scopes: ['chat'] }] },
      provider: { type: 'openai', model: 'gpt-4o' },
      middleware: { ...ONE_TRY, validator: { banned_words: ['pirate'] } },
      monitoring: { logging: { level: 'trace' } },
    },
    env: { KEY_ANN: SERVER_KEY },
  });
});
afterAll(() => harness.close());

const ops = async (path: string): Promise<{ status: number; text: string; type: string | null }> => {
  const answer = await fetch(`${harness.gateway.opsUrl}${path}`);
  return { status: answer.status, text: await answer.text(), type: answer.headers.get('content-type') };
};
const logged = (): Record<string, unknown>[] =>
  // Every line is one JSON object; a test that finds another one fails here.
  harness.gateway.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
/** The log lines of a response. At debug level they include its readers. */
const turnLines = (responseId: string | undefined): Record<string, unknown>[] =>
  logged().filter((line) => line['response_id'] === responseId && line['level'] !== 'debug');

describe('the probes', () => {
  it('reports a healthy and ready replica in the documented form [OPS-1, OPS-2]', async () => {
    expect(await ops('/health')).toMatchObject({ status: 200, text: '{"status":"healthy"}' });
    expect(await ops('/ready')).toMatchObject({ status: 200, text: '{"status":"ready"}' });
  });

  it('reports an unready replica with the reason while the state store does not answer [OPS-2]', async () => {
    const { state } = harness.gateway.gateway.parts;
    const ping = state.ping.bind(state);
    state.ping = () => Promise.reject(new Error('down'));
    try {
      const { status, text } = await ops('/ready');
      expect(status).toBe(503);
      expect(JSON.parse(text)).toMatchObject({ status: 'not ready', reason: 'state store unavailable', details: {} });
      expect((await ops('/health')).status).toBe(200);
    } finally {
      state.ping = ping;
    }
    expect((await ops('/ready')).status).toBe(200);
  });

  it('reports a ready replica while the provider is unavailable [OPS-2]', async () => {
    const asked = harness.provider.requests.length;
    harness.provider.answerWith({ status: 503 });
    await harness.post({ input: 'x' }, SERVER_KEY);
    expect((await ops('/ready')).status).toBe(200);
    expect(harness.provider.requests.length).toBe(asked + 1);
  });

  it('answers probes on the operations port only, and nothing else there [OPS-1]', async () => {
    for (const path of ['/health', '/ready', '/metrics']) expect((await harness.api(path)).status).toBe(404);
    expect((await ops('/v1/models')).status).toBe(404);
  });
});

describe('a gateway after a known load', () => {
  const ids: { responses: string[]; conversation: string } = { responses: [], conversation: '' };
  let before: Map<string, number>;

  const series = async (): Promise<Map<string, number>> =>
    new Map(
      (await ops('/metrics')).text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
    );

  beforeAll(async () => {
    before = await series();
    ids.conversation = await harness.conversation(SERVER_KEY);
    const auth = { headers: { authorization: `Bearer ${SERVER_KEY}` } };
    const client = await harness.connect(auth);
    const done = async (fields: object): Promise<void> => {
      ids.responses.push(terminalOf(await client.run(fields)).id);
    };
    // Three that succeed, one of them over REST.
    harness.says(`${SECRET_OUTPUT} one`);
    await done({ input: SECRET_INPUT, conversation: ids.conversation });
    await done({ input: SECRET_INPUT, instructions: SECRET_ARGUMENT, metadata: { m: SECRET_ARGUMENT } });
    ids.responses.push(String((await harness.post({ input: SECRET_INPUT }, SERVER_KEY)).body['id']));
    // Two that fail, one cancelled, one refused by a guardrail.
    harness.provider.answerWith({ status: 500, body: { error: { message: SECRET_OUTPUT } } });
    await done({ input: SECRET_INPUT });
    harness.provider.answerWith({ steps: [textChunk(SECRET_OUTPUT), { cut: true }] });
    await done({ input: SECRET_INPUT });
    harness.provider.answerWith({ steps: [textChunk(SECRET_OUTPUT), { hang: true }] });
    client.create({ input: SECRET_INPUT, stream_id: 'c' });
    await client.until('response.output_text.delta');
    client.send({ type: 'response.cancel', stream_id: 'c' });
    ids.responses.push(terminalOf(await client.turn()).id);
    await done({ input: `pirate ${SECRET_INPUT}` });
    // What a caller got wrong: over REST and on the socket.
    await harness.post({ input: SECRET_INPUT, temperature: SECRET_ARGUMENT }, SERVER_KEY);
    await harness.post({ input: SECRET_INPUT, conversation: 'conv_unknown' }, SERVER_KEY);
    await harness.post({ input: SECRET_INPUT }, WRONG_KEY);
    await client.run({ input: SECRET_INPUT, model: 'unknown' });
    await client.run({ input: SECRET_INPUT, temperature: SECRET_ARGUMENT });
    client.send(`nonsense ${SECRET_INPUT}`);
    await client.until('error');
    // A viewer that comes back.
    const viewer = await harness.connect({ ...auth, query: `resume=${ids.responses[0]}:2` });
    await viewer.turn();
    await harness.hangUp();
    while ((await series()).get('support_bot_connections') !== 0)
      await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('exposes every metric of the table under the deployment’s prefix [OPS-3]', async () => {
    const { text, type } = await ops('/metrics');
    expect(type).toContain('text/plain');
    for (const name of Object.keys(METRICS)) expect(text).toContain(`# TYPE support_bot_${name} `);
    expect(text).toContain(',revision="unknown",deployment="9.8.7"} 1');
  });

  it('counts each turn once, by its outcome [OPS-3]', async () => {
    const now = await series();
    const counted = (name: string): number => {
      const full = `support_bot_${name}`;
      return (now.get(full) ?? 0) - (before.get(full) ?? 0);
    };
    expect({
      success: counted('requests_total{status="success"}'),
      error: counted('requests_total{status="error"}'),
      cancelled: counted('requests_total{status="cancelled"}'),
      // The guardrail's, three over REST, two on the socket.
      refused: counted('requests_total{status="refused"}'),
      durationsWs: counted('request_duration_seconds_count{endpoint="ws",delivery="stream"}'),
      durationsRest: counted('request_duration_seconds_count{endpoint="/v1/responses",delivery="json"}'),
      inFlight: counted('turns_in_flight'),
      waiting: counted('turns_waiting'),
      input: counted('tokens_total{direction="input",model="gpt-4o"}') > 3 * FAKE_TURN_TOKENS.input,
      serverErrors: counted('provider_errors_total{code="server_error"}'),
      interrupted: counted('provider_errors_total{code="provider_stream_interrupted"}'),
      findings: counted('guardrail_findings_total{guardrail="banned_words",stage="input",decision="deny"}'),
      replays: counted('resumes_total{mode="replay"}'),
      badKey: counted('refusals_total{code="invalid_api_key"}'),
      badJson: counted('refusals_total{code="invalid_json"}'),
      firstDeltas: counted('time_to_first_delta_seconds_count{delivery="stream"}'),
      failures:
        counted('failures_total{code="server_error"}') + counted('failures_total{code="provider_stream_interrupted"}'),
    }).toEqual({
      success: 3,
      error: 2,
      cancelled: 1,
      refused: 6,
      durationsWs: 6,
      durationsRest: 1,
      inFlight: 0,
      waiting: 0,
      input: true,
      serverErrors: 1,
      interrupted: 1,
      findings: 1,
      replays: 1,
      badKey: 1,
      badJson: 1,
      firstDeltas: 4,
      failures: 2,
    });
    expect(counted('response_deltas_total')).toBeGreaterThanOrEqual(5);
  });

  it('logs the start and end of a turn with its ids, tokens and cost [OPS-5]', () => {
    const [first] = ids.responses;
    const lines = turnLines(first);
    expect(lines.map((line) => line['msg'])).toEqual(['request received', 'request completed']);
    const common = {
      request_id: expect.stringMatching(/^req_/u),
      conversation_id: ids.conversation,
      user_id: 'ann',
    };
    expect(lines[0]).toMatchObject({ ...common, method: 'WS', path: '/v1/responses' });
    expect(lines[1]).toMatchObject({
      ...common,
      duration: expect.any(Number),
      input_tokens: FAKE_TURN_TOKENS.input,
      output_tokens: FAKE_TURN_TOKENS.output,
      outcome: 'completed',
    });
    expect(lines[1]).toHaveProperty('cost');
  });

  it('logs one end for each turn, with the code of a failure [OPS-5]', () => {
    const ends = ids.responses.map((id) => turnLines(id).filter((line) => line['msg'] !== 'request received'));
    expect(ends.map((lines) => lines.map(({ msg, outcome, error }) => [msg, outcome, error]))).toEqual([
      [['request completed', 'completed', undefined]],
      [['request completed', 'completed', undefined]],
      [['request completed', 'completed', undefined]],
      [['request failed', 'failed', 'server_error']],
      [['request failed', 'failed', 'provider_stream_interrupted']],
      [['request completed', 'cancelled', undefined]],
      [['request completed', 'completed', undefined]],
    ]);
    const refused = logged().filter((line) => line['msg'] === 'request failed' && line['response_id'] === undefined);
    expect(refused.map((line) => line['error']).sort()).toEqual(
      ['conversation_not_found', 'invalid_api_key', 'invalid_value', 'invalid_value', 'model_not_found'].sort(),
    );
  });

  it('logs no word of a message and no secret at any level [OPS-4, ERR-2]', () => {
    const all = harness.gateway.lines.join('\n');
    expect(all.length).toBeGreaterThan(1_000);
    for (const secret of [
      SECRET_INPUT,
      SECRET_OUTPUT,
      SECRET_ARGUMENT,
      SERVER_KEY,
      WRONG_KEY,
      UPSTREAM_KEY,
      'PLANTED',
      Buffer.from(SERVER_KEY).toString('base64'),
    ]) {
      expect(all.includes(secret)).toBe(false);
    }
  });

  it('exposes no word of a message and no secret in metrics [OPS-4]', async () => {
    const { text } = await ops('/metrics');
    expect(text).not.toMatch(/PLANTED|sk-server|sk-wrong|sk-upstream/u);
    for (const id of [...ids.responses, ids.conversation]) expect(text).not.toContain(id);
  });
});

it('raises gauges while something runs and lowers them afterwards [OPS-3]', async () => {
  const held = heldAnswer('Half');
  harness.provider.answerWith(held.answer);
  const client = await harness.connect({ headers: { authorization: `Bearer ${SERVER_KEY}` } });
  client.create({ input: 'x' });
  expect(responseIn(await client.until('response.created')).status).toBe('in_progress');
  await client.until('response.output_text.delta');
  expect(await harness.gateway.metric('support_bot_turns_in_flight')).toBe(1);
  expect(await harness.gateway.metric('support_bot_connections')).toBe(1);
  expect(await harness.gateway.metric('support_bot_viewers')).toBe(1);
  held.finish();
  await client.turn();
  expect(await harness.gateway.metric('support_bot_turns_in_flight')).toBe(0);
  expect(await harness.gateway.metric('support_bot_viewers')).toBe(0);
});
