/*
 * What support needs to trace one person's complaint: the lines of a turn, and of a request that
 * never became one.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DONE, FakeOpenAiServer, finishChunk, textChunk, usageChunk } from '../support/fake-openai-server.js';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { TestSocket } from '../support/socket.js';

const KEY = 'sk-server-4b8d0f6a2c9e1753aa';
let provider: FakeOpenAiServer;
let spare: FakeOpenAiServer;
let gateway: TestGateway;
let failing = 0;
let spareFailing = 0;

beforeAll(async () => {
  const headers = { 'x-request-id': 'req-of-the-provider.1' };
  provider = await FakeOpenAiServer.start(() =>
    failing-- > 0
      ? { status: 500, body: {} }
      : { steps: [textChunk('Hello.'), finishChunk(), usageChunk(), DONE], headers },
  );
  spare = await FakeOpenAiServer.start(() =>
    spareFailing-- > 0
      ? { status: 500, body: {} }
      : { steps: [textChunk('Spare.'), finishChunk(), usageChunk(), DONE] },
  );
  gateway = await startGateway({
    config: {
      app: { name: 'support-bot', version: '9.8.7' },
      auth: { mode: 'keys', keys: [{ id: 'back-end', key_env: 'KEY', scopes: ['chat'] }] },
      provider: { type: 'openai', model: 'gpt-4o', base_url: provider.baseUrl },
      fallbacks: [{ type: 'openai', model: 'other', base_url: spare.baseUrl }],
      middleware: {
        provider: { retry: { max_attempts: 2, backoff: 'constant' } },
        validator: { banned_words: ['pirate'] },
      },
    },
    env: { KEY },
  });
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await spare.close();
});

async function ask(input: string, headers: Record<string, string> = {}, key = KEY): Promise<void> {
  const answer = await fetch(`${gateway.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, ...headers },
    body: JSON.stringify({ input }),
  });
  await answer.arrayBuffer();
}
const lines = (msg: string): Record<string, unknown>[] =>
  gateway.lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line['msg'] === msg);

describe('the line of a turn', () => {
  it('carries the id of the caller and that of the provider, time to the first text, and who answered [OPS-5]', async () => {
    [failing, spareFailing] = [0, 0];
    await ask('Hi', { 'x-request-id': 'ticket-4711' });
    expect(lines('request received').at(-1)).toMatchObject({ client_request_id: 'ticket-4711', user_id: 'back-end' });
    expect(lines('request completed').at(-1)).toMatchObject({
      client_request_id: 'ticket-4711',
      user_id: 'back-end',
      provider: 'openai',
      provider_request_id: 'req-of-the-provider.1',
      time_to_first_text: expect.any(Number),
      retries: 0,
      fallback: false,
    });
  });

  it('carries retries, and whether another provider answered [OPS-5]', async () => {
    [failing, spareFailing] = [1, 1];
    await ask('Hi');
    expect(lines('request completed').at(-1)).toMatchObject({ retries: 1 });
    [failing, spareFailing] = [1, 0];
    await ask('Hi');
    const [line] = lines('request completed').slice(-1);
    expect(line).toMatchObject({ fallback: true, provider_request_id: null });
    expect(line?.['provider']).not.toBe('openai');
  });

  it('names the rule that refused the input, never the words [OPS-4, OPS-5]', async () => {
    [failing, spareFailing] = [0, 0];
    await ask('Where is the pirate?');
    const [line] = lines('request completed').slice(-1);
    expect(line).toMatchObject({ findings: [expect.stringMatching(/^banned_words\/input\/deny\/\w+/)] });
    expect(JSON.stringify(line)).not.toContain('pirate');
  });

  it('takes no id from a client that is none [OPS-4]', async () => {
    await ask('Hi', { 'x-request-id': 'a b "c"' });
    expect(lines('request completed').at(-1)).not.toHaveProperty('client_request_id');
  });
});

describe('the line of a turn over a socket', () => {
  const runs = async (client: TestSocket, ...fields: object[]): Promise<unknown[]> => {
    const ids: unknown[] = [];
    for (const more of fields) {
      client.send({ type: 'response.create', input: 'Hi', ...more });
      await client.next(({ type }) => type === 'response.completed' || type === 'error');
      const [line] = lines('input' in more ? 'request failed' : 'request completed').slice(-1);
      ids.push(line?.['client_request_id']);
    }
    return ids;
  };

  it("carries the upgrade's id, or that of the event [OPS-5]", async () => {
    [failing, spareFailing] = [0, 0];
    const headers = { authorization: `Bearer ${KEY}`, 'x-request-id': 'page-17' };
    const client = await TestSocket.open(gateway.socketUrl, { headers });
    const own = { 'sluice:request_id': 'ticket-4713' };
    const malformed = { 'sluice:request_id': 'a b' };
    expect(await runs(client, {}, own, malformed, { input: 7 }, { ...own, input: 7 })).toEqual([
      'page-17',
      'ticket-4713',
      'page-17',
      'page-17',
      'page-17',
    ]);
    client.close();
  });

  it('carries no request id of the client for a turn without one [OPS-5]', async () => {
    const client = await TestSocket.open(gateway.socketUrl, { headers: { authorization: `Bearer ${KEY}` } });
    expect(await runs(client, {})).toEqual([undefined]);
    client.close();
  });
});

describe('a refusal', () => {
  it('names the address of a request with a wrong key, and its id [OPS-5]', async () => {
    await ask('Hi', { 'x-request-id': 'ticket-4712' }, 'sk-wrong-9f8e7d6c5b4a3210');
    expect(lines('request failed').at(-1)).toMatchObject({
      error: 'invalid_api_key',
      address: '127.0.0.1',
      client_request_id: 'ticket-4712',
      user_id: null,
    });
  });

  it('names the address of a socket with a wrong key [OPS-5]', async () => {
    const headers = { authorization: 'Bearer sk-wrong-9f8e7d6c5b4a3210' };
    await expect(TestSocket.open(gateway.socketUrl, { headers })).rejects.toThrow('401');
    expect(lines('connection refused')).toEqual([
      expect.objectContaining({ error: 'invalid_api_key', address: '127.0.0.1', refusals: 1 }),
    ]);
  });
});

it('reports the version of the software and that of the deployment separately [OPS-3]', async () => {
  const metrics = await (await fetch(`${gateway.opsUrl}/metrics`)).text();
  const { version } = (await import('../../package.json', { with: { type: 'json' } })).default;
  expect(metrics).toContain(`support_bot_build_info{version="${version}",revision="unknown",deployment="9.8.7"} 1`);
});
