/* The contract of IdempotencyStore. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ContractStore, type OpenStore } from './contract-store.js';

export function describeIdempotencyStore(name: string, open: OpenStore): void {
  describe(`idempotency store: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());
    const use = (responseId: string, fields = {}) => ({
      owner: 'tenant/ann',
      key: 'key 1',
      fingerprint: 'digest',
      responseId,
      ...fields,
    });

    it('grants a key to the first of two equal uses at once', async () => {
      const claims = await Promise.all([store.state.keys.claim(use('resp_a')), store.other.keys.claim(use('resp_b'))]);
      const fresh = claims.findIndex(({ outcome }) => outcome === 'fresh');
      expect(claims.map(({ outcome }) => outcome).toSorted()).toEqual(['fresh', 'same']);
      expect(claims[1 - fresh]).toMatchObject({ outcome: 'same', responseId: fresh === 0 ? 'resp_a' : 'resp_b' });
    });

    it('recognizes the same request, and another one as different', async () => {
      await store.state.keys.claim(use('resp_a'));
      const claim = await store.other.keys.claim(use('resp_b'));
      expect(claim).toEqual({ outcome: 'same', responseId: 'resp_a', ageMs: expect.any(Number), begun: false });
      expect(claim.outcome === 'same' && claim.ageMs >= 0 && claim.ageMs < 10_000).toBe(true);
      expect(await store.other.keys.claim(use('resp_c', { fingerprint: 'other' }))).toEqual({ outcome: 'different' });
      expect(await store.other.keys.claim(use('resp_c', { owner: 'tenant/bob' }))).toEqual({ outcome: 'fresh' });
      expect(await store.other.keys.claim(use('resp_d', { key: 'key 2' }))).toEqual({ outcome: 'fresh' });
    });

    it('grants a key to its holder again, so that a claim may be repeated after a lost reply', async () => {
      await store.state.keys.claim(use('resp_a'));
      expect(await store.state.keys.claim(use('resp_a'))).toEqual({ outcome: 'fresh' });
    });

    it('releases a key for its holder only', async () => {
      await store.state.keys.claim(use('resp_a'));
      await store.other.keys.release(use('resp_b'));
      expect(await store.other.keys.claim(use('resp_b'))).toMatchObject({ outcome: 'same' });
      await store.state.keys.release(use('resp_a'));
      await store.state.keys.release(use('resp_a'));
      expect(await store.other.keys.claim(use('resp_b'))).toEqual({ outcome: 'fresh' });
    });

    it('keeps a key whose response was confirmed', async () => {
      await store.state.keys.claim(use('resp_a'));
      expect(await store.state.keys.confirm(use('resp_a'))).toBe(true);
      expect(await store.state.keys.confirm(use('resp_a'))).toBe(true);
      await store.other.keys.release(use('resp_a'));
      expect(await store.other.keys.claim(use('resp_b'))).toMatchObject({ responseId: 'resp_a', begun: true });
      expect(await store.other.keys.confirm(use('resp_b'))).toBe(false);
      expect(await store.state.keys.claim(use('resp_a'))).toEqual({ outcome: 'fresh' });
      expect(await store.other.keys.claim(use('resp_b', { fingerprint: 'other' }))).toEqual({ outcome: 'different' });
    });

    it('withdraws a key for its holder only, confirmed or not', async () => {
      for (const confirmed of [true, false]) {
        await store.state.keys.claim(use('resp_a'));
        if (confirmed) await store.state.keys.confirm(use('resp_a'));
        await store.other.keys.withdraw(use('resp_b'));
        expect(await store.other.keys.claim(use('resp_b'))).toMatchObject({ responseId: 'resp_a', begun: confirmed });
        await store.state.keys.withdraw(use('resp_a'));
        await store.state.keys.withdraw(use('resp_a'));
        expect(await store.other.keys.claim(use('resp_b'))).toEqual({ outcome: 'fresh' });
        await store.state.keys.withdraw(use('resp_a'));
        expect(await store.other.keys.claim(use('resp_c'))).toMatchObject({ responseId: 'resp_b', begun: false });
        await store.other.keys.withdraw(use('resp_b'));
      }
    });

    it('does not confirm a use that has lost the key', async () => {
      await store.state.keys.claim(use('resp_a'));
      await store.other.keys.release(use('resp_a'));
      await store.other.keys.claim(use('resp_b'));
      expect(await store.state.keys.confirm(use('resp_a'))).toBe(false);
      expect(await store.other.keys.confirm(use('resp_b'))).toBe(true);
      expect(await store.state.keys.confirm(use('resp_a'))).toBe(false);
    });

    it('is confirmed by one only, if it was abandoned and several claims are in time', async () => {
      await store.state.keys.claim(use('resp_a'));
      await store.state.keys.release(use('resp_a'));
      const confirmed = await Promise.all(
        ['resp_a', 'resp_b', 'resp_c'].map((id, i) => (i === 1 ? store.other : store.state).keys.confirm(use(id))),
      );
      expect(confirmed.filter(Boolean)).toHaveLength(1);
      const winner = ['resp_a', 'resp_b', 'resp_c'][confirmed.indexOf(true)];
      expect(await store.other.keys.claim(use('resp_d'))).toMatchObject({ responseId: winner, begun: true });
    });
  });
}
