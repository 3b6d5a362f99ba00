/*
 * No turn of legal size costs more than 100 ms of the event loop's CPU beyond reading its request:
 * admission, templating, fingerprint, guards, storage, the estimate of tokens. The gateway is the
 * shipped one, its guards switched on; the requests are those of largest-requests.ts.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { SluiceError } from '../../../src/domain/errors.js';
import { type ResponseRequest } from '../../../src/domain/request.js';
import { requestFingerprint } from '../../../src/protocol/idempotency-key.js';
import { readJson } from '../../../src/protocol/read-json.js';
import { parseResponseRequest, RESPONSE_REQUEST } from '../../../src/protocol/responses/requests.js';
import { AnonymousAuthenticator } from '../../../src/auth/anonymous-authenticator.js';
import { cpuBudgetMs } from '../../support/cost.js';
import { startGateway, type TestGateway } from '../../support/gateway.js';
import { largestRequests } from '../../support/largest-requests.js';

let gateway: TestGateway;
beforeAll(async () => {
  // The shipped files are objects with one key per section.
  const shipped = parse(readFileSync('config/default.yaml', 'utf8')) as Record<string, Record<string, unknown>>;
  gateway = await startGateway({
    config: {
      ...shipped,
      provider: { type: 'demo' },
      limits: { turns: 100, turn_bytes: '64MiB' },
      middleware: {
        ...shipped['middleware'],
        validator: { banned_words: ['hack', 'crack', 'pirate', 'hä', 'a b'], max_length: 1_000_000 },
      },
      monitoring: {},
    },
  });
});
afterAll(() => gateway.close());

const origin = {
  endpoint: '/v1/responses',
  method: 'POST',
  path: '/v1/responses',
  requestId: 'req_1',
  delivery: 'json',
} as const;
const threadCpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
};

/**
 * CPU of this thread from admission to the terminal, in milliseconds; refused requests end with
 * their refusal.
 */
async function costOfTurn(request: ResponseRequest, key: string): Promise<number> {
  const { turns, reader } = gateway.gateway.parts;
  const caller = await new AnonymousAuthenticator().authenticate();
  const before = threadCpuMs();
  try {
    const idempotency = { key, fingerprint: requestFingerprint(request) };
    // The answer is short: its deltas are not part of the cost of the request.
    const brief = { ...request, maxOutputTokens: 1 };
    const { responseId } = await turns.create(caller, brief, origin, { idempotency });
    await reader.settled(caller, responseId, new AbortController().signal);
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown;
  }
  return threadCpuMs() - before;
}

function parsed(text: string): ResponseRequest | undefined {
  try {
    return parseResponseRequest(readJson(text, 'the request', 'send JSON'), 'rest').request;
  } catch {
    return undefined;
  }
}

const texts = (one: string, bytes = 1_000_000): string =>
  JSON.stringify({ input: one.repeat(Math.floor(bytes / Buffer.byteLength(one))) });

/** Texts that cost the guards and the estimate as much as text can. */
const TEXTS: Readonly<Record<string, string>> = {
  words: texts('some words of text '),
  'white space': texts(' '),
  'beginnings of banned words': texts('hac crac pirat '),
  'one beginning after the other': texts('hac'),
  marks: texts('h\u0308'),
  'a run of marks': JSON.stringify({ input: `h${'\u0301\u0323\u0308'.repeat(160_000)}` }),
  'letters with marks': texts('é', 900_000),
  'letters that fold to several': texts('ﬃ', 900_000),
  'pairs of surrogates': texts('😀', 900_000),
  'lone surrogates': JSON.stringify({ input: '\ud800'.repeat(160_000) }),
  'invisible characters': texts('\u200b', 900_000),
  'spaced letters': texts('a '),
  'line ends': JSON.stringify({ input: '\n'.repeat(500_000) }),
  'a thousand messages': JSON.stringify({
    input: Array.from({ length: 1_000 }, (_, i) => ({ role: 'user', content: `${i} ${'x '.repeat(400)}` })),
  }),
  'a thousand calls with outputs': JSON.stringify({
    input: Array.from({ length: 500 }, (_, i) => [
      { type: 'function_call', call_id: `c${i}`, name: 'f', arguments: `{"a":"${'x'.repeat(800)}"}` },
      { type: 'function_call_output', call_id: `c${i}`, output: 'y '.repeat(400) },
    ]).flat(),
  }),
};

describe('a turn of the largest legal size', () => {
  it('costs at most 100 ms of CPU after its request was read [REQ-24]', async () => {
    const requests = [
      ...Object.entries(TEXTS).map(([name, text]) => ({ name, text })),
      ...largestRequests(RESPONSE_REQUEST),
    ];
    const dear: string[] = [];
    let served = 0;
    for (const { name, text } of requests) {
      const request = parsed(text);
      if (request === undefined) continue;
      served += 1;
      let best = Infinity;
      for (let tries = 0; tries < 10 && best > cpuBudgetMs(100); tries++)
        best = Math.min(best, await costOfTurn(request, `${name} ${tries}`));
      if (best > cpuBudgetMs(100)) dear.push(`${name}: ${Math.round(best)} ms`);
    }
    expect(dear).toEqual([]);
    expect(served).toBeGreaterThan(Object.keys(TEXTS).length);
  }, 300_000);
});
