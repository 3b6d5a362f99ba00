import { afterEach, describe, expect, it } from '@jest/globals';
import { keyIsRefused } from '../../../../src/provider/openai/key-check.js';
import { type FakeAnswer, FakeOpenAiServer } from '../../../support/fake-openai-server.js';

let fake: FakeOpenAiServer | undefined;
afterEach(() => fake?.close());

async function ask(answer: FakeAnswer, timeoutMs = 5_000): Promise<boolean> {
  fake = await FakeOpenAiServer.start(answer);
  return keyIsRefused({ baseUrl: fake.baseUrl, apiKey: 'the-key', timeoutMs });
}

describe('the check of the key', () => {
  it.each([
    [401, true],
    [200, false],
    [403, false],
    [404, false],
    [500, false],
  ])('reads HTTP %d as: %s', async (status, refused) => {
    expect(await ask({ status, body: {} })).toBe(refused);
    expect(fake?.requests.map(({ path, headers }) => [path, headers.authorization])).toEqual([
      ['/v1/models', 'Bearer the-key'],
    ]);
  });

  it('does not report a refused key if the server does not answer or there is no listener', async () => {
    expect(await ask({ steps: [{ hang: true }] }, 50)).toBe(false);
    const baseUrl = fake?.baseUrl ?? '';
    await fake?.close();
    fake = undefined;
    expect(await keyIsRefused({ baseUrl, apiKey: 'the-key', timeoutMs: 5_000 })).toBe(false);
  });

  it('never sends the key to another address', async () => {
    const other = await FakeOpenAiServer.start({ status: 401, body: {} });
    expect(await ask({ status: 307, headers: { location: `${other.baseUrl}/models` }, body: {} })).toBe(false);
    expect(other.requests).toEqual([]);
    await other.close();
  });
});
