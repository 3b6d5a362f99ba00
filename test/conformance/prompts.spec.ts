/* The list of prompts that a request may name. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway } from '../support/gateway.js';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway({
    config: {
      middleware: { template: { enabled: true, source: 'support.pack', default: 'support' } },
      auth: { mode: 'keys', keys: [{ id: 'test', key_env: 'TEST_KEY', scopes: ['chat'] }] },
    },
    env: { TEST_KEY: 'sk-test-prompts-0123456789abcdef' },
  });
});
afterAll(() => gateway.close());

const list = (key?: string) =>
  fetch(`${gateway.url}/v1/prompts`, key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } });

describe('GET /v1/prompts', () => {
  it('lists every prompt with its variables and the default, without the text [REST-20]', async () => {
    const answer = await list('sk-test-prompts-0123456789abcdef');
    const text = await answer.text();
    // The fields that are compared here.
    const { object, data } = JSON.parse(text) as {
      object: string;
      data: { id: string; default: boolean; variables: { name: string; enum: unknown }[] }[];
    };
    expect(object).toBe('list');
    expect(data.map(({ id }) => id)).toEqual(['support/returns', 'support/support']);
    expect(data.filter((prompt) => prompt.default).map(({ id }) => id)).toEqual(['support/support']);
    expect(data[1]?.variables).toContainEqual(expect.objectContaining({ name: 'company_name', type: 'string' }));
    expect(data[1]?.variables.find(({ name }) => name === 'tone')?.enum).toEqual(['friendly', 'formal', 'brief']);
    expect(text).not.toContain('How you work');
  });

  it('refuses requests without a credential [AUTH-1, REST-20]', async () => {
    expect((await list()).status).toBe(401);
  });
});
