/*
 * A wall clock that is set back or forward changes dates only: leases, logs, keys and limits keep
 * their durations.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf, TurnHarness } from './turn-harness.js';

const HOUR_MS = 60 * 60_000;

let time: HandTime;
let harness: TurnHarness;
beforeEach(() => {
  time = new HandTime();
  harness = new TurnHarness({ time, answers: [[say('Half'), HANG]] });
});
afterEach(() => harness.close());

/** Advances time in steps of a second and runs everything that each step causes. */
async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    time.pass(1_000);
    await new Promise(setImmediate);
  }
}

async function running(): Promise<string> {
  const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
  while (!(await harness.types(responseId)).includes('output_text.delta')) await new Promise(setImmediate);
  return responseId;
}

describe.each([
  ['back', -HOUR_MS],
  ['forward', HOUR_MS],
])('when the wall clock is set %s by an hour', (_, jumpMs) => {
  it('keeps the lease of a silent turn, so that no other replica ends it', async () => {
    await running();
    const { lease } = harness.plain;
    const renew = lease.renew.bind(lease);
    let renewed = 0;
    lease.renew = (...args) => {
      renewed += 1;
      return renew(...args);
    };
    time.jump(jumpMs);
    await pass(30);
    expect(renewed).toBe(15);
    expect(await lease.adoptExpired(10)).toEqual([]);
  });

  it('keeps the log of a running turn and lets the turn end normally', async () => {
    const id = await running();
    time.jump(jumpMs);
    harness.plain.events.requestCancel(id).catch(() => undefined);
    await pass(3);
    await harness.turns.whenIdle();
    expect((await harness.types(id)).at(-1)).toBe('incomplete');
    expect((await harness.reader.retrieve(ALICE, id)).status).toBe('cancelled');
  });

  it('keeps an idempotency key for the same duration', async () => {
    const use = { owner: 'o', key: 'k', fingerprint: 'f', responseId: 'resp_1' };
    await harness.plain.keys.claim(use);
    time.jump(jumpMs * 48);
    await pass(1);
    expect(await harness.plain.keys.claim({ ...use, responseId: 'resp_2' })).toMatchObject({
      outcome: 'same',
      responseId: 'resp_1',
      ageMs: 1_000,
    });
  });

  it('refills a rate limit at the pace of passed time', async () => {
    const bucket = { key: 'b', capacity: 1, refillPerSecond: 0.1 };
    await harness.plain.limiter.take(bucket, 1);
    time.jump(jumpMs);
    await pass(9);
    expect(await harness.plain.limiter.take(bucket, 1)).toMatchObject({ allowed: false, retryAfterMs: 1_000 });
    await pass(1);
    expect(await harness.plain.limiter.take(bucket, 1)).toMatchObject({ allowed: true });
  });
});
