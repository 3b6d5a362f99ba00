/*
 * Refusals as the official client reports them: its own classes, code, param, request id; and what
 * its retries do.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  APIError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  type OpenAI,
} from 'openai';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { countRequests, officialClient } from './official.js';

const KEY = 'sk-of-the-test';
const HANG = { input: 'demo: hang after=1 interval=0ms' };

let gateway: TestGateway;
let client: OpenAI;
beforeAll(async () => {
  gateway = await startGateway({
    config: {
      auth: {
        mode: 'keys',
        keys: [
          { id: 'a', key_env: 'KEY_A', tenant: 'a' },
          { id: 'b', key_env: 'KEY_B', tenant: 'b' },
          { id: 'ops', key_env: 'KEY_OPS', scopes: ['admin'] },
        ],
      },
      conversations: { busy: 'reject' },
      middleware: { template: { source: 'support.pack', default: 'support' } },
      clients: { allow: { tools: false } },
    },
    env: { KEY_A: KEY, KEY_B: 'sk-of-another', KEY_OPS: 'sk-of-operators' },
  });
  // Its retries are on: errors that must not be retried carry that.
  client = officialClient(gateway.url, { apiKey: KEY, maxRetries: 2 });
});
afterAll(() => gateway.close());

async function refusal(work: Promise<unknown>): Promise<APIError> {
  const error = await work.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof APIError)) throw error;
  return error;
}

type Call = () => Promise<unknown>;
const create = (body: object): Call => {
  // The cast: some of these bodies are wrong on purpose.
  return async () => client.responses.create(body as OpenAI.Responses.ResponseCreateParamsNonStreaming);
};
const REFUSED: [string, Call, unknown, string, string | null][] = [
  ['no input', create({}), BadRequestError, 'missing_required_parameter', 'input'],
  ['an unknown field', create({ input: 'x', temprature: 1 }), BadRequestError, 'unknown_parameter', 'temprature'],
  ['a wrong value', create({ input: 'x', temperature: 9 }), BadRequestError, 'invalid_value', 'temperature'],
  [
    'tools not allowed',
    create({ input: 'x', tools: [{ type: 'function', name: 'f', parameters: {}, strict: null }] }),
    BadRequestError,
    'parameter_not_allowed',
    'tools',
  ],
  [
    'a built-in tool',
    create({ input: 'x', tools: [{ type: 'web_search' }] }),
    BadRequestError,
    'unsupported_parameter',
    'tools[0].type',
  ],
  [
    'an image',
    create({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:,', detail: 'auto' }] }] }),
    BadRequestError,
    'invalid_value',
    'input[0].content[0].image_url',
  ],
  ['a lane over REST', create({ input: 'x', stream_id: 'a' }), BadRequestError, 'unsupported_parameter', 'stream_id'],
  [
    'an unknown variable',
    create({ input: 'x', prompt: { id: 'support', variables: { tnoe: 'formal' } } }),
    BadRequestError,
    'unknown_variable',
    'prompt.variables.tnoe',
  ],
  [
    'a wrong variable',
    create({ input: 'x', prompt: { id: 'support', variables: { tone: 'rude' } } }),
    BadRequestError,
    'invalid_variable',
    'prompt.variables.tone',
  ],
  ['an unknown prompt', create({ input: 'x', prompt: { id: 'none' } }), NotFoundError, 'prompt_not_found', 'prompt.id'],
  ['an unknown model', create({ input: 'x', model: 'gpt-none' }), NotFoundError, 'model_not_found', 'model'],
  [
    'an unknown conversation',
    create({ input: 'x', conversation: 'conv_none' }),
    NotFoundError,
    'conversation_not_found',
    'conversation',
  ],
  [
    'an unknown previous response',
    create({ input: 'x', previous_response_id: 'resp_none' }),
    BadRequestError,
    'previous_response_not_found',
    'previous_response_id',
  ],
  [
    'an output of no call',
    create({ input: [{ type: 'function_call_output', call_id: 'call_none', output: '' }] }),
    BadRequestError,
    'unknown_call_id',
    'input[0].call_id',
  ],
  [
    'an unknown response',
    async () => client.responses.retrieve('resp_none'),
    NotFoundError,
    'response_not_found',
    'response_id',
  ],
  [
    'to stream an unknown response',
    async () => client.responses.retrieve('resp_none', { stream: true }),
    NotFoundError,
    'response_not_found',
    'response_id',
  ],
  [
    'to cancel an unknown response',
    async () => client.responses.cancel('resp_none'),
    NotFoundError,
    'response_not_found',
    'response_id',
  ],
  [
    'to delete an unknown response',
    async () => client.responses.delete('resp_none'),
    NotFoundError,
    'response_not_found',
    'response_id',
  ],
  [
    'input of an unknown response',
    async () => client.responses.inputItems.list('resp_none'),
    NotFoundError,
    'response_not_found',
    'response_id',
  ],
  [
    'a call that Sluice does not serve',
    async () => client.embeddings.create({ model: 'demo', input: 'x' }),
    NotFoundError,
    'not_found',
    null,
  ],
];

describe('a refused REST request', () => {
  it.each(REFUSED)('raises the client’s own error, without a retry, for %s', async (_name, call, kind, code, param) => {
    const requests = countRequests(gateway);
    const error = await refusal(call());
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ code, param, requestID: expect.stringMatching(/^req_/) });
    expect(error.message).toMatch(/^\d{3} unable to /);
    expect(requests).toHaveLength(1);
  });

  it('raises an AuthenticationError for a wrong key', async () => {
    const stranger = officialClient(gateway.url, { apiKey: 'sk-wrong', maxRetries: 2 });
    const requests = countRequests(gateway);
    const error = await refusal(stranger.responses.create({ input: 'x' }));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({ status: 401, code: 'invalid_api_key', type: 'authentication_error' });
    expect(requests).toHaveLength(1);
  });

  it('raises a PermissionDeniedError for a key without the scope', async () => {
    const operator = officialClient(gateway.url, { apiKey: 'sk-of-operators' });
    const error = await refusal(operator.responses.create({ input: 'x' }));
    expect(error).toBeInstanceOf(PermissionDeniedError);
    expect(error).toMatchObject({ status: 403, code: 'insufficient_scope' });
  });

  it('refuses a response of another owner like one that does not exist', async () => {
    const other = officialClient(gateway.url, { apiKey: 'sk-of-another' });
    const own = await client.responses.create({ input: 'demo: deltas=1 interval=0ms' });
    const conversation = await client.conversations.create();
    for (const [asked, code] of [
      [other.responses.retrieve(own.id), 'response_not_found'],
      [other.responses.retrieve(own.id, { stream: true }), 'response_not_found'],
      [other.responses.cancel(own.id), 'response_not_found'],
      [other.responses.delete(own.id), 'response_not_found'],
      [other.responses.inputItems.list(own.id), 'response_not_found'],
      [other.responses.create({ input: 'x', previous_response_id: own.id }), 'previous_response_not_found'],
      [other.responses.create({ input: 'x', conversation: conversation.id }), 'conversation_not_found'],
    ] as const) {
      expect(await refusal(asked)).toMatchObject({ code });
    }
    expect((await client.responses.retrieve(own.id)).id).toBe(own.id);
  });
});

describe('the official client’s retries', () => {
  it('does not repeat a conflict that is not retryable', async () => {
    const running = await client.responses.create({ ...HANG, background: true });
    const requests = countRequests(gateway);
    const error = await refusal(client.responses.delete(running.id));
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ status: 409, code: 'response_still_running' });
    expect(requests).toHaveLength(1);
    await client.responses.cancel(running.id);
  });

  it('keeps the idempotency key in a retry, and gets the same response for the same body', async () => {
    const headers = { 'Idempotency-Key': 'one' };
    const first = await client.responses.create({ input: 'demo: deltas=2 interval=0ms' }, { headers });
    const again = await client.responses.create({ input: 'demo: deltas=2 interval=0ms' }, { headers });
    expect(again.id).toBe(first.id);
    const requests = countRequests(gateway);
    const error = await refusal(client.responses.create({ input: 'other' }, { headers }));
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ code: 'idempotency_key_reused' });
    expect(requests).toHaveLength(1);
  });

  it('waits with a retry as long as a busy conversation requests, and succeeds', async () => {
    const { id } = await client.conversations.create();
    const first = await client.responses.create({ ...HANG, conversation: id, background: true });
    const busy = await refusal(client.responses.create({ input: 'x', conversation: id }, { maxRetries: 0 }));
    expect(busy).toBeInstanceOf(ConflictError);
    expect(busy.code).toBe('conversation_busy');
    expect(Number(busy.headers?.get('retry-after-ms'))).toBeGreaterThan(0);
    const requests = countRequests(gateway);
    const second = client.responses.create({ input: 'demo: deltas=1 interval=0ms', conversation: id });
    while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await officialClient(gateway.url, { apiKey: KEY }).responses.cancel(first.id);
    expect((await second).status).toBe('completed');
    expect(requests.filter((request) => request === 'POST /v1/responses')).toHaveLength(2);
  });

  it('waits with a retry as long as a draining replica requests, and reaches another replica', async () => {
    const leaving = await startGateway();
    try {
      leaving.gateway.parts.drain.startDraining();
      const requests = countRequests(leaving);
      const error = await refusal(officialClient(leaving.url, { maxRetries: 1 }).responses.create({ input: 'x' }));
      expect(error).toBeInstanceOf(InternalServerError);
      expect(error).toMatchObject({ status: 503, code: 'draining' });
      expect(Number(error.headers?.get('retry-after-ms'))).toBeGreaterThan(0);
      expect(requests).toHaveLength(2);
    } finally {
      await leaving.close();
    }
  });
});
