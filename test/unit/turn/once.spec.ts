/* Idempotency where the first of two equal requests died on the way: its key must not stand for nothing, and never for two turns. */

import { describe, expect, it } from '@jest/globals';
import { memoryState } from '../../../src/state/memory/memory-state.js';
import { type State } from '../../../src/state/state.js';
import { Once, type OnceTimes } from '../../../src/turn/once.js';
import { ALICE } from './turn-bench.js';

const USE = { key: 'k', fingerprint: 'f' };
const SOON: OnceTimes = { leftBehindMs: 30, forgottenMs: 60_000 };

function onceOver(times: OnceTimes): { once: Once; state: State } {
  const state = memoryState({ ttlMs: 60_000, maxItems: 10 });
  return { once: new Once(state.keys, state.log, state.responses, times), state };
}

function begin({ log }: State, responseId: string): Promise<unknown> {
  return log.create({ responseId, owner: ALICE.owner, conversationId: null, store: true, input: [] });
}

describe('a key whose first holder', () => {
  it('is on the way, is waited for', async () => {
    const { once, state } = onceOver({ ...SOON, leftBehindMs: 10_000 });
    expect(await once.claim(ALICE, 'resp_a', USE)).toBeNull();
    const second = once.claim(ALICE, 'resp_b', USE);
    await begin(state, 'resp_a');
    expect(await second).toBe('resp_a');
  });

  it('died before its log stood, is taken over by one of those that ask again; the others follow that one', async () => {
    const { once, state } = onceOver(SOON);
    expect(await once.claim(ALICE, 'resp_a', USE)).toBeNull();
    const told = await Promise.all(
      ['resp_b', 'resp_c', 'resp_d'].map(async (id) => {
        const known = await once.claim(ALICE, id, USE);
        if (known === null) await begin(state, id);
        return known ?? id;
      }),
    );
    expect(new Set(told).size).toBe(1);
    expect(['resp_b', 'resp_c', 'resp_d']).toContain(told[0]);
  });

  it('began long ago, stands for its response also when that is no longer kept', async () => {
    const { once } = onceOver({ leftBehindMs: 0, forgottenMs: -1 });
    expect(await once.claim(ALICE, 'resp_a', USE)).toBeNull();
    expect(await once.claim(ALICE, 'resp_b', USE)).toBe('resp_a');
  });
});
