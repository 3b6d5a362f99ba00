/* The erasure of a user while a turn of the user runs. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { UserData } from '../../../src/turn/user-data.js';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf, TurnHarness } from './turn-harness.js';

const ADMIN = { ...ALICE, owner: 'acme', user: null, scopes: new Set(['chat', 'admin'] as const) };
const LIMITS = { tokensPerMinute: 10_000 };
const TOKENS = { key: 'limit:tokens:user:acme/alice', capacity: 10_000, refillPerSecond: 10_000 / 60 };

const time = new HandTime();
let harness: TurnHarness;
let data: UserData;
beforeEach(() => {
  harness = new TurnHarness({ answers: [[say('Hello'), HANG]], limits: LIMITS, time });
  data = new UserData({ ...harness.plain, time });
});
afterEach(() => harness.close());

const ended = async (): Promise<number> => {
  const statuses = ['success', 'error', 'refused', 'cancelled'];
  const counts = await Promise.all(statuses.map((status) => harness.metric(`requests_total{status="${status}"}`)));
  return counts.reduce((sum, count) => sum + count, 0);
};

describe('an erasure during a turn', () => {
  it.each(['outside of conversations', 'in a conversation'])(
    'counts the turn once, as cancelled, settles its limits and leaves no log: %s [DATA-1, OPS-3]',
    async (where) => {
      const fields = where === 'in a conversation' ? { conversation: await harness.conversation() } : {};
      const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', fields), ORIGIN);
      while (!(await harness.types(responseId)).includes('output_text.delta')) await new Promise(setImmediate);
      const erasing = data.erase(ADMIN, 'alice');
      await harness.turns.whenIdle();
      time.pass(1_000);
      expect(await erasing).toMatchObject({ responses: 1 });
      expect(await harness.metric('requests_total{status="cancelled"}')).toBe(1);
      expect(await ended()).toBe(1);
      expect(await harness.metric('fenced_writes_total')).toBe(0);
      expect((await harness.plain.limiter.take(TOKENS, 0)).remaining).toBeGreaterThanOrEqual(9_995);
      expect(await harness.plain.events.read(responseId, -1, 0)).toBeUndefined();
      expect(await harness.plain.responses.get(responseId)).toBeUndefined();
    },
  );

  it('cancels a turn that has its place in a conversation and no log yet, and leaves no log [DATA-1]', async () => {
    const conversation = await harness.conversation();
    const creation = harness.faults.hold('createWith');
    const created = harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    await creation.reached;
    let waits = true;
    const erasing = data.erase(ADMIN, 'alice').finally(() => (waits = false));
    for (let i = 0; i < 10; i++) await new Promise(setImmediate);
    creation.open();
    const { responseId } = await created;
    while (waits) {
      time.pass(100);
      await new Promise(setImmediate);
    }
    await erasing;
    expect(await harness.plain.events.read(responseId, -1, 0)).toBeUndefined();
    expect(await harness.metric('requests_total{status="cancelled"}')).toBe(1);
    expect(await ended()).toBe(1);
  });

  it('deletes the log of a turn that does not end within 12 s [DATA-1]', async () => {
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    const put = harness.faults.hold('append');
    const erasing = data.erase(ADMIN, 'alice');
    let waits = true;
    void erasing.finally(() => (waits = false));
    while (waits) {
      time.pass(500);
      await new Promise(setImmediate);
    }
    expect(await harness.plain.events.read(responseId, -1, 0)).toBeUndefined();
    put.open();
    await harness.turns.whenIdle();
    expect(await harness.plain.responses.get(responseId)).toBeUndefined();
  });
});
