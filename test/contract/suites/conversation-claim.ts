/* The contract of ConversationClaim: first in, first out, bounded. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../../src/domain/ids.js';
import { type ContractStore, inTime, type OpenStore } from './contract-store.js';
import { headOf, terminal } from './log-fixtures.js';

const NEVER = new AbortController().signal;

export function describeConversationClaim(name: string, open: OpenStore): void {
  describe(`conversation claim: ${name}`, () => {
    let store: ContractStore;
    let conversation: string;
    beforeEach(async () => {
      store = await open();
      conversation = newId('conv');
    });
    afterEach(() => store.close());

    /** Joins with a log, as a turn does. */
    const join = async (state = store.state, maxWaiting = 8) => {
      const head = headOf({ conversationId: conversation });
      const { first } = await state.claim.join(conversation, head.responseId, maxWaiting);
      await state.events.create(head);
      return { id: head.responseId, first };
    };

    it('grants the claim to the first and then to each in order, whichever replica they wait on', async () => {
      const holder = await join();
      const waiting = [await join(store.other), await join(store.state), await join(store.other)];
      expect([holder, ...waiting].map(({ first }) => first)).toEqual([true, false, false, false]);
      await store.state.claim.wait(conversation, holder.id, NEVER);
      const order: string[] = [];
      const all = waiting.map(async ({ id }, i) => {
        const state = i % 2 === 0 ? store.other : store.state;
        await state.claim.wait(conversation, id, NEVER);
        order.push(id);
        await state.claim.leave(conversation, id);
      });
      expect(await store.other.claim.members(conversation)).toEqual([holder.id, ...waiting.map(({ id }) => id)]);
      expect(order).toEqual([]);
      await store.state.claim.leave(conversation, holder.id);
      await Promise.all(all);
      expect(order).toEqual(waiting.map(({ id }) => id));
      expect(await store.state.claim.members(conversation)).toEqual([]);
    });

    it('holds one claim at a time under a crowd', async () => {
      let holding = 0;
      let most = 0;
      await Promise.all(
        Array.from({ length: 24 }, async (_, i) => {
          const state = i % 2 === 0 ? store.state : store.other;
          const { id } = await join(state, 24);
          await state.claim.wait(conversation, id, NEVER);
          most = Math.max(most, ++holding);
          await new Promise((resolve) => setImmediate(resolve));
          holding -= 1;
          await state.claim.leave(conversation, id);
        }),
      );
      expect(most).toBe(1);
    });

    it('refuses when the queue is full, and accepts the next when one has left', async () => {
      await join();
      const waiting = await join(store.other, 1);
      const refused = await store.state.claim.join(conversation, newId('resp'), 1).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'conversation_busy', status: 409, retryAfterMs: 1_000 });
      expect(await store.state.claim.members(conversation)).toHaveLength(2);
      await store.other.claim.leave(conversation, waiting.id);
      expect((await join(store.state, 1)).first).toBe(false);
    });

    it('refuses at once if no turn may wait', async () => {
      await join(store.state, 0);
      await expect(store.other.claim.join(conversation, newId('resp'), 0)).rejects.toMatchObject({
        code: 'conversation_busy',
      });
    });

    it('never admits more than the bound under a crowd', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) =>
          (i % 2 === 0 ? store.state : store.other).claim.join(conversation, newId('resp'), 3),
        ),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
      expect(await store.state.claim.members(conversation)).toHaveLength(4);
    });

    it('changes nothing when joined or left again', async () => {
      const holder = await join();
      const waiting = await join(store.other);
      expect(await store.state.claim.join(conversation, holder.id, 1)).toEqual({ first: true });
      expect(await store.state.claim.join(conversation, waiting.id, 1)).toEqual({ first: false });
      expect(await store.state.claim.members(conversation)).toEqual([holder.id, waiting.id]);
      await store.state.claim.leave(conversation, holder.id);
      await store.state.claim.leave(conversation, holder.id);
      await store.state.claim.leave(conversation, 'resp_unknown');
      expect(await store.state.claim.members(conversation)).toEqual([waiting.id]);
      await store.other.claim.wait(conversation, waiting.id, NEVER);
    });

    it('evicts a head without a log after a lease, and not before', async () => {
      await store.state.claim.join(conversation, 'req_dead', 0);
      await store.pass(store.times.leaseMs / 2);
      await expect(store.other.claim.join(conversation, 'resp_early', 0)).rejects.toMatchObject({
        code: 'conversation_busy',
      });
      await store.pass(store.times.leaseMs / 2 + 30);
      expect((await join(store.other, 0)).first).toBe(true);
    });

    it('evicts a head whose turn has ended without leaving, while others wait for it', async () => {
      const holder = await join();
      const waiting = await join(store.other);
      const waits = store.other.claim.wait(conversation, waiting.id, NEVER);
      await store.state.events.append(holder.id, 1, [terminal(0)]);
      await store.pass(1_100);
      await waits;
      expect(await store.state.claim.members(conversation)).toEqual([waiting.id]);
    });

    it('moves an evicted member that joins again to the end, and grants the claim to the next', async () => {
      await store.state.claim.join(conversation, 'resp_late', 8);
      await store.pass(store.times.leaseMs + 30);
      const next = await join(store.other, 0);
      const last = await join(store.other);
      expect(next.first).toBe(true);
      expect(await store.state.claim.rejoin(conversation, 'resp_late', 8, 'call_1')).toEqual({ first: false });
      expect(await store.state.claim.members(conversation)).toEqual([next.id, last.id, 'resp_late']);
      await expect(store.state.claim.rejoin(conversation, 'resp_late', 1, 'call_2')).rejects.toMatchObject({
        code: 'conversation_busy',
      });
      expect(await store.state.claim.members(conversation)).toEqual([next.id, last.id]);
    });

    it('moves a head that joins again behind those that wait, and wakes the next', async () => {
      const holder = await join();
      const waiting = await join(store.other);
      const waits = store.other.claim.wait(conversation, waiting.id, NEVER);
      expect(await store.state.claim.rejoin(conversation, holder.id, 8, 'call_3')).toEqual({ first: false });
      await waits;
      expect(await store.state.claim.members(conversation)).toEqual([waiting.id, holder.id]);
    });

    it('keeps the place of a member if a call of rejoin arrives again after its answer', async () => {
      const call = newId('req');
      await store.state.claim.join(conversation, 'resp_late', 8);
      expect(await store.state.claim.rejoin(conversation, 'resp_late', 8, call)).toEqual({ first: true });
      const waiting = await join(store.other);
      expect(await store.other.claim.rejoin(conversation, 'resp_late', 8, call)).toEqual({ first: true });
      expect(await store.state.claim.members(conversation)).toEqual(['resp_late', waiting.id]);
    });

    it('counts the age of a member from its last join', async () => {
      await store.state.claim.join(conversation, 'req_a', 0);
      await store.pass(store.times.leaseMs * 0.8);
      expect(await store.state.claim.rejoin(conversation, 'req_a', 0, 'call_4')).toEqual({ first: true });
      await store.pass(store.times.leaseMs * 0.3);
      await expect(store.other.claim.join(conversation, 'resp_b', 0)).rejects.toMatchObject({
        code: 'conversation_busy',
      });
    });

    it('stops waiting when the signal aborts, with its reason; leaving then lets the next one through', async () => {
      const holder = await join();
      const cancelled = await join(store.other);
      const next = await join(store.state);
      const abort = new AbortController();
      const waits = store.other.claim.wait(conversation, cancelled.id, abort.signal);
      const reason = new Error('cancelled');
      abort.abort(reason);
      await expect(waits).rejects.toBe(reason);
      await expect(store.other.claim.wait(conversation, cancelled.id, abort.signal)).rejects.toBe(reason);
      await store.other.claim.leave(conversation, cancelled.id);
      await store.state.claim.leave(conversation, holder.id);
      await store.state.claim.wait(conversation, next.id, NEVER);
    });

    it('refuses to wait for a member that never joined', async () => {
      await expect(store.state.claim.wait(conversation, 'resp_unknown', NEVER)).rejects.toThrow('unable to wait');
    });

    it('lets a waiting turn pass a head that began no log within a lease', async () => {
      await store.state.claim.join(conversation, newId('resp'), 8);
      const waiting = await join(store.other);
      const waits = store.other.claim.wait(conversation, waiting.id, NEVER);
      await store.pass(store.times.leaseMs + 1_100);
      await waits;
      expect(await store.state.claim.members(conversation)).toEqual([waiting.id]);
    });

    it('lets a turn join in the place of heads that began no log within a lease', async () => {
      const late = newId('resp');
      let id = '';
      await inTime(store.times.leaseMs, async () => {
        id = newId('conv');
        await store.state.claim.join(id, newId('resp'), 1);
        await store.state.claim.join(id, newId('resp'), 1);
        await expect(store.other.claim.join(id, late, 0)).rejects.toMatchObject({ code: 'conversation_busy' });
      });
      await store.pass(store.times.leaseMs + 100);
      expect(await store.other.claim.join(id, late, 0)).toEqual({ first: true });
    });

    it('lets a waiting turn pass a head that has ended without leaving', async () => {
      const holder = await join();
      const waiting = await join(store.other);
      const waits = store.other.claim.wait(conversation, waiting.id, NEVER);
      await store.state.events.append(holder.id, 1, [terminal(0)]);
      await store.pass(1_100);
      await waits;
      expect(await store.state.claim.members(conversation)).toEqual([waiting.id]);
    });

    it('keeps conversations apart', async () => {
      await join();
      expect(await store.state.claim.join(newId('conv'), newId('resp'), 0)).toEqual({ first: true });
    });
  });
}
