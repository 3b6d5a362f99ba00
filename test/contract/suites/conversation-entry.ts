/* The contract of ConversationEntry: one step gives a turn its place and the newest items. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '../../../src/domain/ids.js';
import { type StoredItem } from '../../../src/domain/item.js';
import { type Reach } from '../../../src/domain/principal.js';
import { type ContractStore, type OpenStore } from './contract-store.js';
import { headOf } from './log-fixtures.js';

const OWN: Reach = { owners: ['acme/ann'], prefix: null };

function item(id: string): StoredItem {
  return {
    item: {
      type: 'message',
      role: 'user',
      id,
      status: 'completed',
      content: [{ type: 'input_text', text: `"id":"${id}" said` }],
    },
    responseId: null,
    withheld: false,
  };
}

export function describeConversationEntry(name: string, open: OpenStore): void {
  describe(`conversation entry: ${name}`, () => {
    let store: ContractStore;
    let id: string;
    beforeEach(async () => {
      store = await open();
      id = newId('conv');
      const conversation = { id, owner: 'acme/ann', createdAt: 1, updatedAt: 1, metadata: {} };
      await store.state.conversations.create(conversation, ['msg_1', 'msg_2', 'msg_3'].map(item));
    });
    afterEach(() => store.close());

    const enter = (
      options: { reach?: Reach; maxWaiting?: number; maxItems?: number; conversationId?: string } = {},
    ) => {
      const responseId = newId('resp');
      const entering = { conversationId: id, responseId, reach: OWN, maxWaiting: 8, maxItems: 10, ...options };
      return store.other.entry.enter(entering).then((entered) => ({ responseId, entered, entering }));
    };

    it('gives the head its place and the newest items, oldest first', async () => {
      const { responseId, entered } = await enter({ maxItems: 2 });
      expect(entered).toEqual({ first: true, recent: [item('msg_2'), item('msg_3')] });
      expect(await store.state.claim.members(id)).toEqual([responseId]);
    });

    it('gives every item if the conversation has fewer than requested, and none of an empty one', async () => {
      expect((await enter()).entered?.recent).toEqual(['msg_1', 'msg_2', 'msg_3'].map(item));
      const conversationId = newId('conv');
      const empty = { id: conversationId, owner: 'acme/ann', createdAt: 1, updatedAt: 1, metadata: {} };
      await store.state.conversations.create(empty, []);
      expect((await enter({ conversationId })).entered).toEqual({ first: true, recent: [] });
    });

    it('gives a turn that has to wait its place and no items, since others may add some before it', async () => {
      const head = await enter();
      const waiting = await enter();
      expect(waiting.entered).toEqual({ first: false });
      expect(await store.state.claim.members(id)).toEqual([head.responseId, waiting.responseId]);
    });

    it('gives the same answer if the call is repeated after a lost reply', async () => {
      const { entering, entered } = await enter();
      await enter();
      expect(await store.state.entry.enter(entering)).toEqual(entered);
      expect(await store.state.claim.members(id)).toHaveLength(2);
    });

    it('finds no conversation that does not exist or whose owner is not in reach, and joins no queue', async () => {
      const foreign: readonly Reach[] = [
        { owners: ['acme/ben'], prefix: null },
        { owners: ['acme'], prefix: null },
        { owners: ['other'], prefix: 'other/' },
        { owners: [], prefix: null },
      ];
      for (const reach of foreign) expect((await enter({ reach })).entered).toBeUndefined();
      expect((await enter({ conversationId: 'conv_unknown' })).entered).toBeUndefined();
      expect((await enter({ conversationId: 'conv_{x}:head' })).entered).toBeUndefined();
      expect(await store.state.claim.members(id)).toEqual([]);
      expect(await store.state.claim.members('conv_unknown')).toEqual([]);
    });

    it('accepts each owner in reach', async () => {
      expect((await enter({ reach: { owners: ['acme'], prefix: 'acme/' } })).entered?.first).toBe(true);
      expect((await enter({ reach: { owners: ['acme', 'acme/ann'], prefix: null } })).entered?.first).toBe(false);
    });

    it('refuses when the queue is full, and evicts a head that has ended before it refuses', async () => {
      const head = await enter();
      await expect(enter({ maxWaiting: 0 })).rejects.toMatchObject({ code: 'conversation_busy', status: 409 });
      const log = headOf({ responseId: head.responseId, conversationId: id });
      await store.state.events.create(log);
      await store.pass(store.times.leaseMs + 30);
      await expect(enter({ maxWaiting: 0 })).rejects.toMatchObject({ code: 'conversation_busy' });
      await store.state.events.delete(head.responseId);
      expect((await enter({ maxWaiting: 0 })).entered?.first).toBe(true);
    });

    it('extends the life of the conversation', async () => {
      await store.pass(store.ttlMs * 0.55);
      expect((await enter()).entered?.first).toBe(true);
      await store.pass(store.ttlMs * 0.55);
      expect(await store.state.conversations.get(id)).toBeDefined();
    });
  });
}
