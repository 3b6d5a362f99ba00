/*
 * What one request of the largest legal size costs a running gateway, by every way in: CPU of the
 * process, and its heap.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayHarness, terminalOf } from '../support/gateway-harness.js';
import { cpuBudgetMs } from '../support/cost.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start();
});
afterEach(() => harness.hangUp());
afterAll(() => harness.close());

const ONES = `[${Array.from({ length: 500_000 }, () => '1').join(',')}]`;
const FEWER = `[${Array.from({ length: 31_000 }, () => '1').join(',')}]`;
const KEYS = Array.from({ length: 31_000 }, (_, i) => `"key${i}":1`).join(',');

/** Where a client may put it. */
const BODIES: readonly (readonly [string, string, (list: string) => string])[] = [
  ['a message', '/v1/responses', (list) => `{"input":[{"role":"user","content":${list}}]}`],
  [
    'a tool output',
    '/v1/responses',
    (list) => `{"input":[{"type":"function_call_output","call_id":"c","output":${list}}]}`,
  ],
  ['include', '/v1/responses', (list) => `{"input":"x","include":${list}}`],
  ['a chat message', '/v1/chat/completions', (list) => `{"messages":[{"role":"user","content":${list}}]}`],
  ['a conversation', '/v1/conversations', (list) => `{"items":[{"role":"user","content":${list}}]}`],
];

/**
 * CPU in milliseconds and heap in MiB of what `work` made this process do; the client's own part is
 * in it, too.
 */
async function costOf(work: () => Promise<unknown>): Promise<{ readonly cpuMs: number; readonly heapMiB: number }> {
  let best = { cpuMs: Infinity, heapMiB: Infinity };
  for (let tries = 0; tries < 5; tries++) {
    const heap = process.memoryUsage().heapUsed;
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    const heapMiB = (process.memoryUsage().heapUsed - heap) / 1_048_576;
    best = { cpuMs: Math.min(best.cpuMs, (user + system) / 1_000), heapMiB: Math.min(best.heapMiB, heapMiB) };
    if (best.cpuMs < cpuBudgetMs(100) && best.heapMiB < 64) break;
  }
  return best;
}

const expectCheap = ({ cpuMs, heapMiB }: { readonly cpuMs: number; readonly heapMiB: number }): void => {
  expect(cpuMs).toBeLessThan(cpuBudgetMs(100));
  expect(heapMiB).toBeLessThan(64);
};

describe('a request of half a million parts [REQ-24]', () => {
  it.each(BODIES)(
    'spends no more CPU on a refused request than its length allows: %s by POST',
    async (_what, path, body) => {
      for (const list of [ONES, FEWER]) {
        let status = 0;
        expectCheap(
          await costOf(async () => ({ status } = await harness.api(path, { method: 'POST', body: body(list) }))),
        );
        expect(status).toBe(400);
      }
    },
  );

  it.each(BODIES.slice(0, 3))(
    'spends no more CPU on a refused request than its length allows: %s in a frame',
    async (_what, _path, body) => {
      const client = await harness.connect();
      for (const list of [ONES, FEWER]) {
        expectCheap(
          await costOf(async () => {
            client.send(`{"type":"response.create",${body(list).slice(1)}`);
            expect(await client.until('error')).toMatchObject({ status: 400 });
          }),
        );
      }
    },
  );

  it('leaves the gateway usable', async () => {
    harness.says('Hello');
    expect(terminalOf(await (await harness.connect()).run({ input: 'Hi' })).output_text).toBe('Hello');
  });
});

it('refuses frames of unknown keys before it lists their keys [REQ-24]', async () => {
  const client = await harness.connect();
  expectCheap(
    await costOf(async () => {
      client.send(`{"type":"response.create",${KEYS}}`);
      expect(await client.until('error')).toMatchObject({ status: 400, error: { code: 'invalid_value' } });
    }),
  );
});
