/*
 * Idempotency when the first of two equal requests stalls or dies: its key must lead to exactly one
 * turn.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ResponseEvent } from '../../../src/domain/event.js';
import { LOG_TIMES } from '../../../src/state/event-log.js';
import { KEY_TTL_MS } from '../../../src/state/idempotency-store.js';
import { memoryState } from '../../../src/state/memory/memory-state.js';
import { Idempotency } from '../../../src/turn/idempotency.js';
import { type ScriptedProvider, say } from '../../support/scripted-provider.js';
import { HandTime } from '../../support/hand-time.js';
import { parseLogged } from '../../../src/turn/logged-response.js';
import { ALICE, away, BOB, ORIGIN, requestOf, TurnHarness } from './turn-harness.js';

const USE = { key: 'k', fingerprint: 'f' };

function idempotencyWith(leftBehindMs: number) {
  const { keys } = memoryState({ ttlMs: 60_000, maxItems: 10 });
  return { idempotency: new Idempotency(keys, leftBehindMs), keys };
}

describe('an idempotency key', () => {
  it('makes equal requests wait while the first one is being created [IDEM-4]', async () => {
    const { idempotency } = idempotencyWith(10_000);
    expect(await idempotency.claim(ALICE, 'resp_a', USE)).toBeNull();
    const second = idempotency.claim(ALICE, 'resp_b', USE);
    expect(await idempotency.confirm(ALICE, 'resp_a', USE)).toBe(true);
    expect(await second).toBe('resp_a');
  });

  it('passes to a waiting request when the first one was refused', async () => {
    const { idempotency } = idempotencyWith(10_000);
    expect(await idempotency.claim(ALICE, 'resp_a', USE)).toBeNull();
    const second = idempotency.claim(ALICE, 'resp_b', USE);
    await idempotency.release(ALICE, 'resp_a', USE);
    expect(await second).toBeNull();
  });

  it('lets one of several retries take over the key of a holder that died before its response began; the others follow that response [IDEM-4]', async () => {
    const { idempotency } = idempotencyWith(30);
    expect(await idempotency.claim(ALICE, 'resp_a', USE)).toBeNull();
    const responseIds = await Promise.all(
      ['resp_b', 'resp_c', 'resp_d'].map(async (id) => {
        const known = await idempotency.claim(ALICE, id, USE);
        if (known === null) expect(await idempotency.confirm(ALICE, id, USE)).toBe(true);
        return known ?? id;
      }),
    );
    expect(new Set(responseIds).size).toBe(1);
    expect(['resp_b', 'resp_c', 'resp_d']).toContain(responseIds[0]);
    expect(await idempotency.confirm(ALICE, 'resp_a', USE)).toBe(false);
  });

  it('keeps leading to its response once confirmed, at any age and also if the response is gone', async () => {
    const { idempotency } = idempotencyWith(-1);
    expect(await idempotency.claim(ALICE, 'resp_a', USE)).toBeNull();
    await idempotency.confirm(ALICE, 'resp_a', USE);
    await idempotency.release(ALICE, 'resp_a', USE);
    expect(await idempotency.claim(ALICE, 'resp_b', USE)).toBe('resp_a');
  });

  it('repeats the confirmation when the store was unavailable', async () => {
    const { idempotency, keys } = idempotencyWith(10_000);
    await idempotency.claim(ALICE, 'resp_a', USE);
    const confirm = keys.confirm.bind(keys);
    let failed = 0;
    keys.confirm = (use) => (failed++ < 2 ? Promise.reject(away()) : confirm(use));
    expect(await idempotency.confirm(ALICE, 'resp_a', USE)).toBe(true);
  });
});

describe('a replica that stalled between its claim of a key and its log', () => {
  let slow: TurnHarness;
  let quick: TurnHarness;
  afterEach(async () => {
    await slow.close();
    await quick.close();
  });

  it('fails a turn whose key was taken over, and returns the response of the other replica', async () => {
    slow = new TurnHarness({ limits: { concurrentTurns: 1 } });
    quick = new TurnHarness({ beside: slow, leftBehindMs: 30, answers: [[say('the one')]] });
    const conversation = await slow.conversation();
    const request = requestOf('Hi', { conversation });
    const stalled = slow.faults.hold('createWith');
    const ids: string[] = [];
    const late = slow.turns.create(ALICE, request, ORIGIN, { idempotency: USE, onResponse: (id) => ids.push(id) });
    await stalled.reached;
    const other = quick.turns.create(ALICE, request, ORIGIN, { idempotency: USE });
    const { responseId } = await other;
    stalled.open();
    expect((await late).responseId).toBe(responseId);
    expect(ids).toHaveLength(2);
    expect(ids[1]).toBe(responseId);
    const response = await slow.reader.settled(ALICE, responseId, new AbortController().signal);
    await Promise.all([slow.turns.whenIdle(), quick.turns.whenIdle()]);
    // The late turn leaves its failure: no place in the queue, no provider call, no permit.
    expect(await slow.types(ids[0] ?? '')).toEqual(['created', 'failed']);
    expect(await slow.plain.claim.members(conversation)).toEqual([]);
    expect((slow.provider as ScriptedProvider).requests).toEqual([]);
    expect(slow.turns.count).toBe(0);
    expect(response.status).toBe('completed');
    expect(await slow.texts(conversation)).toEqual(['Hi', response.output_text]);
    await slow.play(requestOf('Again'));
  });
});

describe('a request that is repeated with its key', () => {
  let time: HandTime;
  let harness: TurnHarness;
  beforeEach(() => {
    time = new HandTime();
    harness = new TurnHarness({ time });
  });
  afterEach(() => harness.close());

  const send = (fields: Parameters<typeof requestOf>[1] = {}) =>
    harness.turns.create(ALICE, requestOf('Hi', fields), ORIGIN, { idempotency: USE });
  const asked = () => (harness.provider as ScriptedProvider).requests.length;
  const GONE = { code: 'response_expired', status: 410, retryable: false };

  it('refuses a repeated request whose response was deleted, without a second turn [IDEM-5]', async () => {
    const { responseId } = await send();
    await harness.turns.whenIdle();
    await harness.reader.remove(ALICE, responseId);
    await expect(send()).rejects.toMatchObject(GONE);
    // Also when the key is older than the time after which an unconfirmed key is taken over.
    time.pass(11_000);
    await expect(send()).rejects.toMatchObject(GONE);
    expect(asked()).toBe(1);
    expect(harness.turns.count).toBe(0);
  });

  it('refuses a repeated request whose unstored response has lost its events, until the key expires [IDEM-5]', async () => {
    const { responseId } = await send({ store: false });
    await harness.turns.whenIdle();
    time.pass(LOG_TIMES.endedUnstoredMs - 1_000);
    expect((await send({ store: false })).responseId).toBe(responseId);
    time.pass(2_000);
    await expect(send({ store: false })).rejects.toMatchObject(GONE);
    expect(asked()).toBe(1);
    time.pass(KEY_TTL_MS);
    await send({ store: false });
    await harness.turns.whenIdle();
    expect(asked()).toBe(2);
  });

  it('streams the beginning and the end of a stored response when its events are gone [IDEM-5]', async () => {
    const { responseId } = await send();
    await harness.turns.whenIdle();
    const before = await harness.events(responseId);
    time.pass(LOG_TIMES.endedMs + 1_000);
    expect((await send()).responseId).toBe(responseId);
    const signal = new AbortController().signal;
    const events: ResponseEvent[] = [];
    for await (const batch of harness.reader.repeat(ALICE, responseId, signal)) events.push(...batch.map(parseLogged));
    expect(events).toEqual([expect.objectContaining({ type: 'response.created' }), before.at(-1)]);
    expect(events[0]).toMatchObject({ sequence_number: 0, response: { status: 'in_progress', output: [] } });
    await expect(harness.reader.repeat(BOB, responseId, signal).next()).rejects.toMatchObject({
      code: 'response_not_found',
    });
  });

  it.each([
    ['executed', true],
    ['not executed', false],
  ])(
    'starts a new turn if the confirmation of the first one was never answered, and was %s [IDEM-3]',
    async (_, done) => {
      const ids: string[] = [];
      const first = harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, {
        idempotency: USE,
        onResponse: (id) => ids.push(id),
      });
      const refused = expect(first).rejects.toMatchObject({ code: 'state_unavailable' });
      harness.faults.fail('confirm', Infinity, away, done);
      for (const method of ['release', 'withdraw']) harness.faults.fail(method, Infinity);
      // The store stays away after the refusal.
      for (let second = 0; second < 90; second++) {
        time.pass(1_000);
        await new Promise(setImmediate);
      }
      await refused;
      for (const method of ['confirm', 'release', 'withdraw']) harness.faults.heal(method);
      time.pass(1_000);
      await new Promise(setImmediate);
      const repeated = await send();
      await harness.turns.whenIdle();
      expect(repeated).toMatchObject({ joined: false });
      expect((await harness.types(repeated.responseId)).at(-1)).toBe('completed');
      expect(asked()).toBe(1);
    },
  );
});
