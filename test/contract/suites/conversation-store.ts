/* The contracts of ConversationStore and ResponseStore: bounded, sliding in time, commits once. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type NewConversation } from '../../../src/domain/conversation.js';
import { newId } from '../../../src/domain/ids.js';
import { storedBytes, type StoredItem } from '../../../src/domain/item.js';
import { type ResponseObject, type StoredResponse } from '../../../src/domain/response.js';
import { COMMITS_KEPT } from '../../../src/state/conversation-store.js';
import { type ContractStore, type OpenStore } from './contract-store.js';

const item = (id: string, text = `text of ${id} – “é” \n`): StoredItem => ({
  item: { type: 'message', id, role: 'user', status: 'completed', content: [{ type: 'input_text', text }] },
  responseId: null,
  withheld: false,
});
/** The title of a conversation that begins with the first of `items`. */
const TITLE = 'text of msg_1 – “é”';
const items = (from: number, to: number): StoredItem[] =>
  Array.from({ length: to - from + 1 }, (_, i) => item(`msg_${from + i}`));
const idsOf = (stored: readonly StoredItem[]): string[] => stored.map(({ item: { id } }) => id);

function conversationOf(fields: Partial<NewConversation> = {}): NewConversation {
  return {
    id: newId('conv'),
    owner: 'tenant/ann',
    createdAt: 1_700_000_000,
    updatedAt: 1_700_000_000,
    metadata: { topic: 'a “topic”' },
    ...fields,
  };
}

export function describeConversationStore(name: string, open: OpenStore): void {
  describe(`conversation store: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const created = async (fields: Partial<NewConversation> = {}, stored: readonly StoredItem[] = []) => {
      const conversation = conversationOf(fields);
      await store.state.conversations.create(conversation, stored);
      return conversation;
    };

    it('keeps a conversation and its items unchanged', async () => {
      const conversation = await created({ metadata: {} }, items(1, 3));
      expect(await store.other.conversations.get(conversation.id)).toEqual({ ...conversation, title: TITLE });
      expect(await store.other.conversations.recentItems(conversation.id, 10)).toEqual(items(1, 3));
      expect(await store.other.conversations.get('conv_unknown')).toBeUndefined();
    });

    it('replaces metadata and reports when it changed', async () => {
      const { id } = await created();
      const updated = await store.other.conversations.updateMetadata(id, { a: '1' });
      expect(updated).toMatchObject({ id, metadata: { a: '1' } });
      expect(updated?.updatedAt).toBeGreaterThan(1_700_000_000);
      expect(await store.state.conversations.get(id)).toEqual(updated);
      expect(await store.state.conversations.updateMetadata('conv_unknown', {})).toBeUndefined();
      expect(await store.state.conversations.get('conv_unknown')).toBeUndefined();
    });

    it('deletes a conversation with its items', async () => {
      const { id, owner } = await created({}, items(1, 2));
      expect(await store.other.conversations.delete(id)).toBe(true);
      expect(await store.state.conversations.delete(id)).toBe(false);
      expect(await store.state.conversations.get(id)).toBeUndefined();
      expect(await store.state.conversations.recentItems(id, 10)).toEqual([]);
      expect(await store.state.conversations.appendItems(id, items(3, 3), 'resp_1')).toBe(false);
      expect((await store.state.conversations.listByOwner(owner, { limit: 10 })).data).toEqual([]);
    });

    it('adds no items of a writer while another one is the head of the queue [CONV-10]', async () => {
      const { id } = await created({}, items(1, 1));
      const { claim, conversations } = store.state;
      await claim.join(id, 'resp_1', 8);
      await claim.join(id, 'resp_2', 8);
      await expect(conversations.appendItems(id, items(2, 2), 'resp_2')).rejects.toMatchObject({
        code: 'conversation_busy',
      });
      expect(await conversations.appendItems(id, [], 'resp_2')).toBe(true);
      expect(await conversations.appendItems(id, items(3, 3), 'resp_1')).toBe(true);
      await claim.join(id, 'resp_3', 8);
      // A repeat of the same addition is answered, whichever turn is the head.
      expect(await store.other.conversations.appendItems(id, items(3, 3), 'resp_1')).toBe(true);
      expect(idsOf(await conversations.recentItems(id, 10))).toEqual(['msg_1', 'msg_3']);
    });

    it('adds the items of a commit once, however often it is repeated', async () => {
      const { id } = await created({}, items(1, 1));
      const commit = () => store.state.conversations.appendItems(id, items(2, 3), 'resp_1');
      expect(await Promise.all([commit(), store.other.conversations.appendItems(id, items(2, 3), 'resp_1')])).toEqual([
        true,
        true,
      ]);
      expect(await commit()).toBe(true);
      await store.other.conversations.appendItems(id, items(4, 4), 'resp_2');
      expect(idsOf(await store.state.conversations.recentItems(id, 10))).toEqual(['msg_1', 'msg_2', 'msg_3', 'msg_4']);
      expect((await store.state.conversations.get(id))?.updatedAt).toBeGreaterThan(1_700_000_000);
    });

    it('takes a writer out of the queue with its commit, whatever the result [CONV-10]', async () => {
      const { id } = await created();
      const { claim, conversations } = store.state;
      for (const writer of ['resp_1', 'resp_2', 'resp_3', 'resp_4']) await claim.join(id, writer, 8);
      const waiting = store.other.claim.wait(id, 'resp_3', new AbortController().signal);
      await expect(conversations.appendItems(id, items(2, 2), 'resp_2')).rejects.toMatchObject({
        code: 'conversation_busy',
      });
      expect(await claim.members(id)).toEqual(['resp_1', 'resp_3', 'resp_4']);
      expect(await conversations.appendItems(id, items(1, 1), 'resp_1')).toBe(true);
      await waiting;
      expect(await claim.members(id)).toEqual(['resp_3', 'resp_4']);
      // A repeat after a lost reply changes nothing for those who came after it.
      expect(await conversations.appendItems(id, items(1, 1), 'resp_1')).toBe(true);
      await conversations.delete(id);
      expect(await conversations.appendItems(id, items(3, 3), 'resp_3')).toBe(false);
      expect(await claim.members(id)).toEqual(['resp_4']);
    });

    it('accepts a commit of no items', async () => {
      const { id } = await created();
      expect(await store.state.conversations.appendItems(id, [], 'resp_1')).toBe(true);
      expect(await store.state.conversations.recentItems(id, 10)).toEqual([]);
    });

    it('recognizes a commit after many others', async () => {
      const { id } = await created();
      for (let i = 0; i < 2 * COMMITS_KEPT; i++) await store.state.conversations.appendItems(id, [], `resp_${i}`);
      await store.state.conversations.appendItems(id, items(1, 1), 'resp_0');
      expect(await store.state.conversations.recentItems(id, 10)).toEqual([]);
    });

    it('keeps the newest items only', async () => {
      const { id } = await created({}, items(1, store.maxItems + 2));
      expect(idsOf(await store.state.conversations.recentItems(id, 1_000))).toEqual(
        idsOf(items(3, store.maxItems + 2)),
      );
      await store.state.conversations.appendItems(id, items(store.maxItems + 3, store.maxItems * 2 + 10), 'resp_1');
      const kept = idsOf(await store.state.conversations.recentItems(id, 1_000));
      expect(kept).toHaveLength(store.maxItems);
      expect(kept.at(-1)).toBe(`msg_${store.maxItems * 2 + 10}`);
    });

    it('drops the oldest items above its bound in bytes', async () => {
      const large = (id: string) => item(id, 'é'.repeat(910));
      const { id } = await created(
        {},
        [1, 2, 3, 4, 5].map((i) => large(`msg_${i}`)),
      );
      const kept = () => store.other.conversations.recentItems(id, 100).then(idsOf);
      expect(storedBytes(large('msg_1')) * 4).toBeLessThan(store.maxBytes);
      expect(storedBytes(large('msg_1')) * 5).toBeGreaterThan(store.maxBytes);
      expect(await kept()).toEqual(['msg_2', 'msg_3', 'msg_4', 'msg_5']);
      await store.state.conversations.appendItems(id, [large('msg_6'), item('msg_7')], 'resp_1');
      expect(await kept()).toEqual(['msg_4', 'msg_5', 'msg_6', 'msg_7']);
      // Removed items free their room.
      await store.state.conversations.deleteItem(id, 'msg_5');
      await store.other.conversations.appendItems(id, [large('msg_8')], 'resp_2');
      expect(await kept()).toEqual(['msg_4', 'msg_6', 'msg_7', 'msg_8']);
      const page = await store.other.conversations.listItems(id, { limit: 10, order: 'asc' });
      expect([idsOf(page.data), page.hasMore]).toEqual([await kept(), false]);
    });

    it('keeps the newest item alone if it is larger than the bound', async () => {
      const { id } = await created({}, items(1, 3));
      const huge = item('msg_huge', 'x'.repeat(store.maxBytes));
      await store.state.conversations.appendItems(id, [huge], 'resp_1');
      expect(await store.other.conversations.recentItems(id, 100)).toEqual([huge]);
      await store.state.conversations.appendItems(id, items(4, 4), 'resp_2');
      expect(idsOf(await store.other.conversations.recentItems(id, 100))).toEqual(['msg_4']);
      expect(await store.other.conversations.getItem(id, 'msg_4')).toEqual(item('msg_4'));
    });

    it('writes its title with the first user message that may be shown, and keeps it when that is trimmed', async () => {
      const { id, owner } = await created({}, [{ ...item('msg_1', 'a secret'), withheld: true }]);
      const title = async () => (await store.other.conversations.get(id))?.title;
      expect(await title()).toBeNull();
      const answer: StoredItem = {
        ...item('msg_2'),
        item: { ...item('msg_2').item, role: 'assistant' } as StoredItem['item'],
      };
      await store.state.conversations.appendItems(id, [answer, item('msg_3', 'What is this?')], 'resp_1');
      expect(await title()).toBe('What is this?');
      await store.state.conversations.appendItems(id, items(10, 10 + store.maxItems), 'resp_2');
      expect(await store.other.conversations.getItem(id, 'msg_3')).toBeUndefined();
      expect(await title()).toBe('What is this?');
      expect((await store.state.conversations.updateMetadata(id, {}))?.title).toBe('What is this?');
      const listed = await store.other.conversations.listByOwner(owner, { limit: 5 });
      expect(listed.data.map((conversation) => conversation.title)).toEqual(['What is this?']);
    });

    it('takes a new title when the item of its title is removed', async () => {
      const { id } = await created({}, [item('msg_1', 'First?'), item('msg_2', 'Second?')]);
      const title = async () => (await store.other.conversations.get(id))?.title;
      expect(await title()).toBe('First?');
      await store.state.conversations.deleteItem(id, 'msg_1');
      expect([await title(), await title()]).toEqual(['Second?', 'Second?']);
      await store.state.conversations.deleteItem(id, 'msg_2');
      expect(await title()).toBeNull();
      await store.state.conversations.appendItems(id, [item('msg_3', 'Third?')], 'resp_1');
      expect(await title()).toBe('Third?');
    });

    it('finds an item by its id only, not by a text that contains it', async () => {
      const { id } = await created({}, [item('msg_1', '"id":"msg_2"'), item('msg_2'), item('msg_3', '{"id":"msg_3"}')]);
      for (const itemId of ['msg_1', 'msg_2', 'msg_3']) {
        expect((await store.other.conversations.getItem(id, itemId))?.item.id).toBe(itemId);
      }
      const page = await store.other.conversations.listItems(id, { limit: 5, order: 'asc', after: 'msg_2' });
      expect(idsOf(page.data)).toEqual(['msg_3']);
      expect(await store.other.conversations.getItem(id, '"')).toBeUndefined();
    });

    it('returns the newest items, oldest first', async () => {
      const { id } = await created({}, items(1, 5));
      expect(idsOf(await store.other.conversations.recentItems(id, 2))).toEqual(['msg_4', 'msg_5']);
      expect(await store.other.conversations.recentItems(id, 0)).toEqual([]);
      expect(await store.other.conversations.recentItems('conv_unknown', 5)).toEqual([]);
    });

    it.each(['asc', 'desc'] as const)('lists items in pages, %s', async (order) => {
      const { id } = await created({}, items(1, 7));
      const whole = order === 'asc' ? items(1, 7) : items(1, 7).reverse();
      const list = (query: { limit: number; after?: string }) =>
        store.other.conversations.listItems(id, { order, ...query });
      const first = await list({ limit: 3 });
      expect(first).toEqual({ data: whole.slice(0, 3), hasMore: true });
      const second = await list({ limit: 3, after: idsOf(first.data).at(-1) ?? '' });
      expect(second).toEqual({ data: whole.slice(3, 6), hasMore: true });
      expect(await list({ limit: 3, after: idsOf(second.data).at(-1) ?? '' })).toEqual({
        data: whole.slice(6),
        hasMore: false,
      });
      expect(await list({ limit: 7 })).toEqual({ data: whole, hasMore: false });
      expect(await list({ limit: 2, after: 'msg_unknown' })).toEqual({ data: whole.slice(0, 2), hasMore: true });
      expect(await store.other.conversations.listItems('conv_unknown', { order, limit: 3 })).toEqual({
        data: [],
        hasMore: false,
      });
    });

    it('finds and deletes one item', async () => {
      const { id } = await created({}, items(1, 3));
      expect(await store.other.conversations.getItem(id, 'msg_2')).toEqual(item('msg_2'));
      expect(await store.other.conversations.getItem(id, 'msg_9')).toBeUndefined();
      expect(await store.other.conversations.deleteItem(id, 'msg_2')).toBe(true);
      expect(await store.state.conversations.deleteItem(id, 'msg_2')).toBe(false);
      expect(await store.state.conversations.deleteItem('conv_unknown', 'msg_2')).toBe(false);
      expect(idsOf(await store.state.conversations.recentItems(id, 10))).toEqual(['msg_1', 'msg_3']);
    });

    it('lists an owner’s conversations, newest change first, in pages', async () => {
      const ids: string[] = [];
      for (let i = 0; i < 5; i++) ids.unshift((await created({ updatedAt: 1_700_000_000 + i })).id);
      await created({ owner: 'tenant/bob' });
      const list = (query: { limit: number; after?: string }) =>
        store.other.conversations.listByOwner('tenant/ann', query);
      const pageIds = async (query: { limit: number; after?: string }) => {
        const { data, hasMore } = await list(query);
        return { ids: data.map(({ id }) => id), hasMore };
      };
      expect(await pageIds({ limit: 2 })).toEqual({ ids: ids.slice(0, 2), hasMore: true });
      expect(await pageIds({ limit: 2, after: ids[1] ?? '' })).toEqual({ ids: ids.slice(2, 4), hasMore: true });
      expect(await pageIds({ limit: 2, after: ids[3] ?? '' })).toEqual({ ids: ids.slice(4), hasMore: false });
      expect(await pageIds({ limit: 5 })).toEqual({ ids, hasMore: false });
      await store.state.conversations.updateMetadata(ids[4] ?? '', {});
      expect(await pageIds({ limit: 1 })).toEqual({ ids: [ids[4]], hasMore: true });
      await store.state.conversations.delete(ids[0] ?? '');
      expect((await pageIds({ limit: 10 })).ids).toEqual([ids[4], ids[1], ids[2], ids[3]]);
      expect((await list({ limit: 1 })).data[0]).toMatchObject({ owner: 'tenant/ann', metadata: {} });
      expect(await store.other.conversations.listByOwner('tenant/unknown', { limit: 5 })).toEqual({
        data: [],
        hasMore: false,
      });
    });

    it('lists the ids of an owner’s conversations, newest change first, without those that are gone', async () => {
      const ids: string[] = [];
      for (let i = 0; i < 4; i++) ids.unshift((await created({ updatedAt: 1_700_000_000 + i })).id);
      await created({ owner: 'tenant/bob' });
      await store.state.conversations.delete(ids[0] ?? '');
      expect(await store.other.conversations.idsOfOwner('tenant/ann', 2)).toEqual(ids.slice(1, 3));
      expect(await store.other.conversations.idsOfOwner('tenant/ann', 10)).toEqual(ids.slice(1));
      expect(await store.other.conversations.idsOfOwner('tenant/unknown', 10)).toEqual([]);
    });

    it('keeps what is read or written, and expires the rest', async () => {
      const read = await created({}, items(1, 2));
      const written = await created();
      const idle = await created({}, items(1, 2));
      for (let i = 0; i < 2; i++) {
        await store.pass(store.ttlMs * 0.55);
        await store.state.conversations.get(read.id);
        await store.state.conversations.appendItems(written.id, items(i, i), `resp_${i}`);
      }
      expect(await store.other.conversations.get(idle.id)).toBeUndefined();
      expect(await store.other.conversations.recentItems(idle.id, 5)).toEqual([]);
      expect(await store.other.conversations.get(read.id)).toEqual({ ...read, title: TITLE });
      expect(idsOf(await store.other.conversations.recentItems(read.id, 5))).toEqual(['msg_1', 'msg_2']);
      const listed = await store.other.conversations.listByOwner('tenant/ann', { limit: 5 });
      expect(listed.data.map(({ id }) => id).toSorted()).toEqual([read.id, written.id].toSorted());
      expect(await store.state.conversations.appendItems(idle.id, items(3, 3), 'resp_9')).toBe(false);
    });
  });

  describe(`response store: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const storedOf = (id: string, text = 'said “é”'): StoredResponse => ({
      owner: 'tenant/ann',
      // The store does not read the content of a response.
      response: { id, object: 'response', output_text: text } as ResponseObject,
      input: [item('msg_1')],
      context: items(1, 3),
      terminalSequence: 12,
    });

    it('stores a response unchanged, and deletes it', async () => {
      await store.state.responses.put(storedOf('resp_1'));
      expect(await store.other.responses.get('resp_1')).toEqual(storedOf('resp_1'));
      expect(await store.other.responses.delete('resp_1')).toBe(true);
      expect(await store.state.responses.delete('resp_1')).toBe(false);
      expect(await store.state.responses.get('resp_1')).toBeUndefined();
    });

    it('keeps the first end of a response, and returns that to the replica that comes second', async () => {
      expect(await store.state.responses.put(storedOf('resp_1'))).toEqual(storedOf('resp_1'));
      expect(await store.other.responses.put(storedOf('resp_1', 'other'))).toEqual(storedOf('resp_1'));
      expect(await store.state.responses.get('resp_1')).toEqual(storedOf('resp_1'));
    });

    it('stores one of many concurrent ends, and returns the same one to all', async () => {
      const puts = Array.from({ length: 12 }, (_, i) =>
        (i % 2 === 0 ? store.state : store.other).responses.put(storedOf('resp_1', `end ${i}`)),
      );
      const ends = await Promise.all(puts);
      expect(new Set(ends.map((end) => end?.response.output_text)).size).toBe(1);
      expect(await store.other.responses.get('resp_1')).toEqual(ends[0]);
    });

    it('accepts the same end again after a lost reply', async () => {
      const own = storedOf('resp_1');
      await store.state.responses.put(own);
      expect(await store.state.responses.put(own)).toBe(own);
    });

    it('distinguishes a response that has ended or was deleted from an unknown one', async () => {
      const { responses } = store.state;
      await responses.put(storedOf('resp_1'));
      await responses.put(storedOf('resp_2'));
      await store.other.responses.delete('resp_2');
      await store.other.responses.delete('resp_unstored');
      const known = ['resp_1', 'resp_2', 'resp_unstored', 'resp_3'].map((id) => responses.hasEnded(id));
      expect(await Promise.all(known)).toEqual([true, true, true, false]);
    });

    it('refuses to store a deleted response again, for a while', async () => {
      await store.state.responses.put(storedOf('resp_1'));
      await store.other.responses.delete('resp_1');
      await store.other.responses.delete('resp_never_stored');
      expect(await store.state.responses.put(storedOf('resp_1'))).toBeUndefined();
      expect(await store.state.responses.put(storedOf('resp_never_stored'))).toBeUndefined();
      expect(await store.state.responses.get('resp_1')).toBeUndefined();
      await store.pass(store.times.deletedMs + 30);
      expect(await store.state.responses.put(storedOf('resp_1'))).toEqual(storedOf('resp_1'));
    });

    it('renews its time to live with every read', async () => {
      await store.state.responses.put(storedOf('resp_read'));
      await store.state.responses.put(storedOf('resp_idle'));
      await store.pass(store.ttlMs * 0.55);
      expect(await store.state.responses.get('resp_read')).toBeDefined();
      await store.pass(store.ttlMs * 0.55);
      expect(await store.state.responses.get('resp_read')).toBeDefined();
      expect(await store.state.responses.get('resp_idle')).toBeUndefined();
    });
  });
}
