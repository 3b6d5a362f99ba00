/* The contract of TurnLease: which replica may write, until when, and which one takes over. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type State } from '../../../src/state/state.js';
import { type ContractStore, eventually, type OpenStore } from './contract-store.js';
import { delta, headOf, terminal } from './log-fixtures.js';

export function describeTurnLease(name: string, open: OpenStore): void {
  describe(`turn lease: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const created = async () => {
      const head = headOf();
      return { id: head.responseId, fence: await store.state.events.create(head) };
    };
    /** Adopts from `state` until there are so many turns: a delayed sweeper looks again later. */
    const adopt = async (state: State, count: number) => {
      const adopted: Awaited<ReturnType<State['lease']['adoptExpired']>>[number][] = [];
      await eventually(async () => {
        adopted.push(...(await state.lease.adoptExpired(10)));
        return adopted.length >= count;
      });
      return adopted;
    };
    const runOut = () => store.pass(store.times.leaseMs + 30);

    it('is not taken over while it is renewed, by an append or without one', async () => {
      const byAppend = await created();
      const byRenewal = await created();
      for (let i = 0; i < 4; i++) {
        await store.pass(store.times.leaseMs * 0.35);
        await store.state.events.append(byAppend.id, byAppend.fence, [delta(i)]);
        expect(await store.state.lease.renew(byRenewal.id, byRenewal.fence)).toEqual({
          held: true,
          cancelRequested: false,
        });
        expect(await store.other.lease.adoptExpired(10)).toEqual([]);
      }
    });

    it('is taken over after it has expired: the new owner writes, the former is fenced', async () => {
      const { id, fence } = await created();
      await store.state.events.append(id, fence, [delta(0)]);
      await runOut();
      const adopted = await adopt(store.other, 1);
      expect(adopted).toEqual([{ responseId: id, fence: fence + 1 }]);
      expect((await store.state.events.append(id, fence, [delta(1, 'late')])).outcome).toBe('fenced');
      expect(await store.state.lease.renew(id, fence)).toMatchObject({ held: false });
      expect((await store.other.events.append(id, fence + 1, [delta(1), terminal(2)])).outcome).toBe('appended');
      expect((await store.state.events.read(id, -1, 10))?.events).toEqual([delta(0), delta(1), terminal(2)]);
      expect(await store.state.lease.adoptExpired(10)).toEqual([]);
    });

    it('grants each orphan to one caller only, however many ask at once', async () => {
      const turns = await Promise.all(Array.from({ length: 20 }, created));
      await runOut();
      const shares: Awaited<ReturnType<typeof adopt>> = [];
      await eventually(async () => {
        const asked = Array.from({ length: 6 }, (_, i) =>
          (i % 2 === 0 ? store.state : store.other).lease.adoptExpired(20),
        );
        shares.push(...(await Promise.all(asked)).flat());
        return shares.length >= turns.length;
      });
      const ids = shares.map(({ responseId }) => responseId);
      expect(ids.toSorted()).toEqual(turns.map(({ id }) => id).toSorted());
    });

    it('grants no more than requested, and the rest to the next', async () => {
      await Promise.all(Array.from({ length: 7 }, created));
      await runOut();
      await eventually(async () => {
        const adopted = await store.state.lease.adoptExpired(5);
        expect(adopted.length === 0 || adopted.length === 5).toBe(true);
        return adopted.length > 0;
      });
      expect(await adopt(store.other, 2)).toHaveLength(2);
      expect(await store.state.lease.adoptExpired(5)).toEqual([]);
    });

    it('grants an orphan again when its new owner is lost too', async () => {
      const { id, fence } = await created();
      await runOut();
      await adopt(store.other, 1);
      await runOut();
      expect(await adopt(store.state, 1)).toEqual([{ responseId: id, fence: fence + 2 }]);
    });

    it('adopts no turn that has ended or was deleted', async () => {
      const ended = await created();
      const deleted = await created();
      await store.state.events.append(ended.id, ended.fence, [terminal(0)]);
      await store.state.events.delete(deleted.id);
      await runOut();
      expect(await store.other.lease.adoptExpired(10)).toEqual([]);
      expect(await store.state.lease.renew(ended.id, ended.fence)).toMatchObject({ held: false });
    });

    it('can be released early, by its holder only', async () => {
      const { id, fence } = await created();
      await runOut();
      await store.state.lease.renew(id, fence);
      await store.other.lease.release(id, fence + 1);
      expect(await store.other.lease.adoptExpired(1)).toEqual([]);
      await store.state.lease.release(id, fence);
      expect(await adopt(store.other, 1)).toEqual([{ responseId: id, fence: fence + 1 }]);
    });

    it('keeps a cancel that was requested of the former owner', async () => {
      const { id, fence } = await created();
      await store.other.events.requestCancel(id);
      await runOut();
      await adopt(store.other, 1);
      expect(await store.other.lease.renew(id, fence + 1)).toEqual({ held: true, cancelRequested: true });
    });
  });
}
