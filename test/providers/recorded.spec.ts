/*
 * What providers were seen to send, played byte for byte, through every channel. Cases:
 * test/fixtures/providers.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startGateway, type TestGateway } from '../support/gateway.js';
import { type Expectation, loadRecordings, RecordedProvider, type Recording } from '../support/recorded-provider.js';
import { CHANNELS, type TurnFacts } from '../support/turn-channels.js';

let provider: RecordedProvider;
const gateways = new Map<string, Promise<TestGateway>>();

beforeAll(async () => {
  provider = await RecordedProvider.start();
});
afterAll(async () => {
  for (const gateway of gateways.values()) await (await gateway).close();
  await provider.close();
});

type Section = Readonly<Record<string, unknown>>;

/** One gateway for all recordings with the same configuration. */
function gatewayFor({ config = {}, fallback }: Recording): Promise<TestGateway> {
  const at = (base_url: string): Section => ({ type: 'openai', model: 'recorded', base_url });
  // The casts: sections of a file that a recording wrote by hand.
  const own = (name: string): Section => (config[name] ?? {}) as Section;
  const whole = {
    ...config,
    provider: { ...at(provider.baseUrl), ...own('provider') },
    ...(fallback === undefined ? {} : { fallbacks: [at(provider.fallbackUrl)] }),
    middleware: {
      // One try and no breaker, where a recording is about the answer itself.
      provider: { retry: { max_attempts: 1 }, breaker: { failures: 1000 } },
      ...own('middleware'),
    },
    clients: { models: ['recorded'], allow: { tools: true, reasoning: true }, ...own('clients') },
  };
  const key = JSON.stringify(whole);
  const gateway = gateways.get(key) ?? startGateway({ config: whole });
  gateways.set(key, gateway);
  return gateway;
}

for (const { file, recordings } of loadRecordings()) {
  describe(file, () => {
    for (const recording of recordings) {
      for (const [channel, ask] of Object.entries(CHANNELS)) {
        it(`${recording.title} (${channel})`, async () => {
          const key = `${file} ${recording.title} ${channel}`;
          provider.play(key, recording);
          const facts = await ask(await gatewayFor(recording), key);
          expectFacts(facts, recording.expect);
          const { requests } = recording.expect;
          if (requests !== undefined) expect(provider.requests.get(key)).toHaveLength(requests);
        });
      }
    }
  });
}

function expectFacts(facts: TurnFacts, expected: Expectation): void {
  const { outcome, reason, code, text, reasoning, summary, calls, usage, http } = expected;
  expect({ outcome: facts.outcome, reason: facts.reason, code: facts.code }).toEqual({ outcome, reason, code });
  if (text !== undefined && facts.text !== undefined) expect(facts.text).toBe(text);
  const thought = facts.summary === undefined ? (summary ?? '') + (reasoning ?? '') : reasoning;
  if (reasoning !== undefined && facts.reasoning !== undefined) expect(facts.reasoning).toBe(thought);
  if (summary !== undefined && facts.summary !== undefined) expect(facts.summary).toBe(summary);
  if (calls !== undefined && facts.calls !== undefined) {
    expect(facts.calls).toEqual(calls.map((call) => ({ id: call.id ?? expect.stringMatching(/./u), ...call })));
  }
  if (usage !== undefined && facts.usage !== undefined) {
    expect(facts.estimated).toBe(usage === 'estimated');
    if (usage === 'estimated') expect(facts.usage[1]).toBeGreaterThan(0);
    else expect(facts.usage).toEqual(usage);
  }
  if (http === undefined || facts.http === undefined) return;
  const named = Object.fromEntries(
    Object.keys(http.headers ?? {}).map((name) => [name, facts.http?.headers.get(name) ?? null]),
  );
  expect({ status: facts.http.status, headers: named }).toEqual({ status: http.status, headers: http.headers ?? {} });
}
