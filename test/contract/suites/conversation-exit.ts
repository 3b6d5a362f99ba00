/*
 * The contract of ConversationExit: a turn writes its last events, adds its items and leaves the
 * queue, if it still owns its log.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ContractStore, eventually, type OpenStore } from './contract-store.js';
import { deltas, headOf, numbersOf, terminal } from './log-fixtures.js';

export function describeConversationExit(name: string, open: OpenStore): void {
  describe(`conversation exit: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const conversationId = 'conv_1';
    /** A turn that is the head of the queue of a conversation and has written two events. */
    const running = async () => {
      const { state } = store;
      const fields = { owner: 'ann', createdAt: 1, updatedAt: 1, metadata: {} };
      if ((await state.conversations.get(conversationId)) === undefined)
        await state.conversations.create({ ...fields, id: conversationId }, []);
      const head = headOf({ conversationId });
      const { responseId, input: items } = head;
      await state.claim.join(conversationId, responseId, 8);
      const { fence } = await state.events.createWith(head, deltas(0, 1));
      return { conversationId, responseId, fence, events: deltas(2, 3), items };
    };
    const read = async (id: string) => numbersOf((await store.other.events.read(id, -1, 10))?.events ?? []);
    const itemIds = async () =>
      (await store.other.conversations.recentItems(conversationId, 10)).map(({ item }) => item.id);
    const members = () => store.other.claim.members(conversationId);

    it('writes the events, adds the items and leaves the queue [CONV-11]', async () => {
      const turn = await running();
      const seen: number[] = [];
      const stop = await store.other.events.subscribe(
        turn.responseId,
        (events) => seen.push(...numbersOf(events)),
        () => undefined,
      );
      expect(await store.state.exit.exit(turn)).toEqual({ outcome: 'appended', cancelRequested: false, kept: true });
      await eventually(() => seen.length === 2);
      expect(await read(turn.responseId)).toEqual([0, 1, 2, 3]);
      expect(await itemIds()).toEqual(['msg_1']);
      expect(await members()).toEqual([]);
      stop();
    });

    it('changes nothing when it is repeated after a lost reply', async () => {
      const turn = await running();
      await store.state.exit.exit(turn);
      const next = await running();
      expect(await store.state.exit.exit(turn)).toMatchObject({ outcome: 'appended', kept: true });
      expect(await read(turn.responseId)).toEqual([0, 1, 2, 3]);
      expect(await itemIds()).toEqual(['msg_1']);
      expect(await members()).toEqual([next.responseId]);
      expect((await store.state.events.append(turn.responseId, turn.fence, [terminal(4)])).outcome).toBe('appended');
    });

    it('leaves without events and without items', async () => {
      const turn = await running();
      const left = await store.state.exit.exit({ ...turn, events: [], items: [] });
      expect(left).toMatchObject({ outcome: 'appended', kept: true });
      expect(await read(turn.responseId)).toEqual([0, 1]);
      expect(await members()).toEqual([]);
    });

    it('reports a cancel that was requested', async () => {
      const turn = await running();
      await store.other.events.requestCancel(turn.responseId);
      expect(await store.state.exit.exit(turn)).toMatchObject({ cancelRequested: true });
    });

    it('adds nothing of a replica that lost the turn, and keeps its place for the one that ends it', async () => {
      const turn = await running();
      await store.pass(store.times.leaseMs + 30);
      await eventually(async () => (await store.other.lease.adoptExpired(10)).length > 0);
      expect(await store.state.exit.exit(turn)).toEqual({ outcome: 'fenced' });
      expect(await read(turn.responseId)).toEqual([0, 1]);
      expect(await itemIds()).toEqual([]);
      expect(await members()).toEqual([turn.responseId]);
    });

    it('writes the events of a turn whose conversation was deleted', async () => {
      const turn = await running();
      await store.other.conversations.delete(conversationId, 'keep');
      expect(await store.state.exit.exit(turn)).toMatchObject({ outcome: 'appended', kept: false });
      expect(await read(turn.responseId)).toEqual([0, 1, 2, 3]);
      expect(await members()).toEqual([]);
    });

    it('adds no items while another turn holds the claim [CONV-10]', async () => {
      const head = await running();
      const late = await running();
      await expect(store.state.exit.exit(late)).rejects.toMatchObject({ code: 'conversation_busy' });
      expect(await read(late.responseId)).toEqual([0, 1, 2, 3]);
      expect(await itemIds()).toEqual([]);
      expect(await members()).toEqual([head.responseId]);
    });
  });
}
