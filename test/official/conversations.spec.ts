/*
 * The `conversations` calls of the official client, unmodified, and the history that only Sluice
 * has.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type OpenAI from 'openai';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { collect, officialClient } from './official.js';

const KEYS = { MINE: 'sk-mine', THEIRS: 'sk-theirs' };

let gateway: TestGateway;
let client: OpenAI;
let stranger: OpenAI;

beforeAll(async () => {
  gateway = await startGateway({
    env: KEYS,
    config: {
      auth: {
        mode: 'keys',
        keys: [
          { id: 'mine', key_env: 'MINE', tenant: 'mine' },
          { id: 'theirs', key_env: 'THEIRS', tenant: 'theirs' },
        ],
      },
      middleware: { validator: { enabled: true, banned_words: ['forbidden'] } },
    },
  });
  client = officialClient(gateway.url, { apiKey: KEYS.MINE });
  stranger = officialClient(gateway.url, { apiKey: KEYS.THEIRS });
});
afterAll(() => gateway.close());

interface Facts {
  readonly id: string;
  readonly sluice: { readonly title: string | null; readonly updated_at: number };
}
interface History {
  readonly object: string;
  readonly data: readonly Facts[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
}
/** An answer that takes no time. */
const QUICK = 'demo: deltas=2 interval=0ms';
const history = (query: Record<string, string> = {}, who = client): Promise<History> =>
  who.get('/conversations', { query });
const user = (content: string) => ({ type: 'message', role: 'user', content }) as const;
/** What the server adds to an item, which the client's types do not know. */
const factsOf = (item: object): unknown => ('sluice' in item ? item.sluice : undefined);

describe('client.conversations', () => {
  it('creates, reads, updates and deletes conversations [CONV-1, CONV-2]', async () => {
    const created = await client.conversations.create({ metadata: { topic: 'demo' }, items: [user('Hello there')] });
    expect(created).toMatchObject({ object: 'conversation', metadata: { topic: 'demo' } });
    expect(created.id).toMatch(/^conv_[0-9a-f]{32}$/u);
    expect(await client.conversations.retrieve(created.id)).toEqual(created);

    const updated = await client.conversations.update(created.id, { metadata: { title: 'Mine' } });
    expect(updated).toMatchObject({ id: created.id, metadata: { title: 'Mine' }, created_at: created.created_at });
    expect((await client.conversations.update(created.id, { metadata: null })).metadata).toEqual({});

    expect(await client.conversations.delete(created.id)).toEqual({
      id: created.id,
      object: 'conversation.deleted',
      deleted: true,
    });
    await expect(client.conversations.retrieve(created.id)).rejects.toMatchObject({ code: 'conversation_not_found' });
    await expect(client.conversations.delete(created.id)).rejects.toMatchObject({ status: 404 });
  });

  it('refuses an update of a conversation without metadata, and names the missing field', async () => {
    const { id } = await client.conversations.create();
    await expect(client.post(`/conversations/${id}`, { body: {} })).rejects.toMatchObject({
      code: 'missing_required_parameter',
      param: 'metadata',
    });
    await expect(client.conversations.update(id, { metadata: { k: 'x'.repeat(513) } })).rejects.toMatchObject({
      status: 400,
      param: 'metadata.k',
    });
  });

  it('answers for the conversation of another owner as for one that does not exist [CONV-2]', async () => {
    const { id } = await client.conversations.create({ items: [user('secret')] });
    const [item] = (await client.conversations.items.list(id)).data;
    const nowhere = `conv_${'0'.repeat(32)}`;
    const answersOf = async (conversation: string): Promise<unknown[]> => {
      const calls = [
        () => stranger.conversations.retrieve(conversation),
        () => stranger.conversations.update(conversation, { metadata: {} }),
        () => stranger.conversations.delete(conversation),
        () => stranger.conversations.items.list(conversation),
        () => stranger.conversations.items.list(conversation, { after: item?.id ?? '' }),
        () => stranger.conversations.items.create(conversation, { items: [user('x')] }),
        () => stranger.conversations.items.retrieve(item?.id ?? '', { conversation_id: conversation }),
        () => stranger.conversations.items.delete(item?.id ?? '', { conversation_id: conversation }),
        () => stranger.responses.create({ input: 'x', conversation }),
        () => history({ after: conversation }, stranger),
      ];
      const answers: unknown[] = [];
      for (const call of calls) {
        answers.push(
          await call().then(
            () => 'served',
            ({ status, code, param, message }) => ({ status, code, param, message }),
          ),
        );
      }
      return answers;
    };
    const foreign = await answersOf(id);
    expect(foreign).toEqual(await answersOf(nowhere));
    expect(foreign).not.toContain('served');
    expect((await client.conversations.items.list(id)).data).toHaveLength(1);
  });
});

describe('client.conversations.items', () => {
  it('lists items in pages, in either order, by the official pager [CONV-4]', async () => {
    const { id } = await client.conversations.create();
    for (const from of [0, 20]) {
      const items = Array.from({ length: 20 }, (_, i) => user(`message ${from + i}`));
      const added = await client.conversations.items.create(id, { items });
      expect(added.data).toHaveLength(20);
      expect(added).toMatchObject({ object: 'list', has_more: false, first_id: added.data[0]?.id });
    }
    const texts = (items: readonly unknown[]): string[] =>
      // The cast: these are the user messages written above.
      (items as { content: { text: string }[] }[]).map(({ content }) => content[0]?.text ?? '');
    const all = Array.from({ length: 40 }, (_, i) => `message ${i}`);
    expect(texts(await collect(client.conversations.items.list(id, { order: 'asc', limit: 7 })))).toEqual(all);
    expect(texts(await collect(client.conversations.items.list(id)))).toEqual([...all].reverse());
    const page = await client.conversations.items.list(id, { limit: 40 });
    expect([page.data.length, page.has_more]).toEqual([40, false]);
    for (const limit of [0, 101]) {
      await expect(client.conversations.items.list(id, { limit })).rejects.toMatchObject({ param: 'limit' });
    }
  });

  it('refuses a page after a deleted item instead of starting over [CONV-12]', async () => {
    const { id } = await client.conversations.create({ items: [user('a'), user('b')] });
    const [newest] = (await client.conversations.items.list(id, { limit: 1 })).data;
    await client.conversations.items.delete(newest?.id ?? '', { conversation_id: id });
    await expect(client.conversations.items.list(id, { after: newest?.id ?? '' })).rejects.toMatchObject({
      code: 'invalid_cursor',
      param: 'after',
    });
  });

  it('reads and removes items one by one [CONV-4]', async () => {
    const { id } = await client.conversations.create({ items: [user('a')] });
    const added = await client.conversations.items.create(id, {
      items: [
        { type: 'function_call', call_id: 'call_1', name: 'look', arguments: '{}' },
        { type: 'function_call_output', call_id: 'call_1', output: 'seen' },
      ],
    });
    const call = added.data[0];
    expect(await client.conversations.items.retrieve(call?.id ?? '', { conversation_id: id })).toEqual(call);
    const left = await client.conversations.items.delete(call?.id ?? '', { conversation_id: id });
    expect(left).toMatchObject({ id, object: 'conversation' });
    await expect(client.conversations.items.retrieve(call?.id ?? '', { conversation_id: id })).rejects.toMatchObject({
      status: 404,
      code: 'item_not_found',
    });
    await expect(client.conversations.items.delete('msg_none', { conversation_id: id })).rejects.toMatchObject({
      code: 'item_not_found',
    });
    expect(await collect(client.conversations.items.list(id))).toHaveLength(2);
  });

  it.each([
    ['no', [], 'items'],
    ['too many', Array.from({ length: 21 }, () => user('x')), 'items'],
    ['audio', [{ type: 'message', role: 'user', content: [{ type: 'input_audio' }] }], 'items[0].content[0].type'],
  ])('refuses to add %s items at once [CONV-4]', async (_what, items, param) => {
    const { id } = await client.conversations.create();
    await expect(client.post(`/conversations/${id}/items`, { body: { items } })).rejects.toMatchObject({
      status: 400,
      param,
    });
  });

  it('refuses `include` of items only for values that are not served', async () => {
    const { id } = await client.conversations.create();
    const [item] = (
      await client.conversations.items.create(id, { items: [user('x')], include: ['reasoning.encrypted_content'] })
    ).data;
    const items = client.conversations.items.list(id, {
      include: ['web_search_call.action.sources', 'message.output_text.logprobs'],
    });
    expect((await collect(items)).map((one) => one.id)).toEqual([item?.id]);
    await expect(
      // A value of a later version of the client.
      client.conversations.items.list(id, { include: ['message.later' as 'message.output_text.logprobs'] }),
    ).rejects.toMatchObject({ status: 400, code: 'unsupported_parameter' });
  });

  it('names the response that added an item, and accepts the item when it is sent back [CONV-13, REQ-1]', async () => {
    const { id } = await client.conversations.create({ items: [user('written by a client')] });
    const response = await client.responses.create({ input: QUICK, conversation: id });
    const items = await collect(client.conversations.items.list(id, { order: 'asc' }));
    expect(items.map(factsOf)).toEqual([
      { author: 'user', response_id: null, withheld: false },
      { author: 'user', response_id: response.id, withheld: false },
      { author: 'model', response_id: response.id, withheld: false },
    ]);
    // The cast: the client's own types do not take a conversation's items as input, though most
    // fit.
    const input = items as unknown as OpenAI.Responses.ResponseInput;
    expect((await client.responses.create({ input: [...input, user(QUICK)] })).status).toBe('completed');
  });

  it('lists refused items with a mark [CONV-13]', async () => {
    const { id } = await client.conversations.create();
    await client.responses.create({ input: 'a forbidden word', conversation: id });
    const items = await collect(client.conversations.items.list(id, { order: 'asc' }));
    expect(items.map(factsOf)).toMatchObject([{ withheld: true }, { withheld: true }]);
    expect(items[0]).toMatchObject({ role: 'user', content: [{ text: 'a forbidden word' }] });
  });
});

describe('a conversation with a running turn', () => {
  const started = async (conversation: string): Promise<string> =>
    (await client.responses.create({ input: 'demo: hang after=2', conversation, background: true })).id;

  it('refuses new items until the turn has ended [CONV-14]', async () => {
    const { id } = await client.conversations.create();
    const running = await started(id);
    const refused = client.conversations.items.create(id, { items: [user('between')] });
    await expect(refused).rejects.toMatchObject({ status: 409, code: 'conversation_busy' });
    const { headers } = (await refused.catch((thrown: unknown) => thrown)) as { headers: Headers };
    expect(headers.get('retry-after')).toBe('1');
    await client.responses.cancel(running);
    // The official client retries a 409 by itself, after the time in Retry-After.
    const patient = client.withOptions({ maxRetries: 2 });
    await patient.conversations.items.create(id, { items: [user('afterwards')] });
    const newest = (await client.conversations.items.list(id)).data[0];
    expect(newest).toMatchObject({ content: [{ text: 'afterwards' }] });
  });

  it('cancels running and waiting turns when it is deleted, and keeps nothing of them [CONV-15] [KEEP-5]', async () => {
    const { id } = await client.conversations.create();
    const running = await started(id);
    const waiting = await started(id);
    expect((await client.responses.retrieve(waiting)).status).toBe('queued');
    await client.conversations.delete(id);
    for (const each of [running, waiting]) {
      const stream = await client.responses.retrieve(each, { stream: true });
      const last = (await collect(stream)).at(-1);
      const response = { status: 'cancelled', sluice: { kept: 'nothing' } };
      expect(last).toMatchObject({ type: 'response.incomplete', response });
    }
    await expect(client.conversations.items.list(id)).rejects.toMatchObject({ code: 'conversation_not_found' });
    expect((await client.responses.retrieve(running)).status).toBe('cancelled');
  });
});

describe('the list of conversations', () => {
  const other = (): OpenAI => officialClient(gateway.url, { apiKey: KEYS.THEIRS });

  it("lists the caller's own conversations, newest change first, in pages [CONV-3]", async () => {
    const their = other();
    const before = (await history({ limit: '100' }, their)).data.length;
    const made: string[] = [];
    for (let i = 0; i < 3; i++) made.push((await their.conversations.create({ items: [user(`question ${i}`)] })).id);
    const seen: string[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await history({ limit: '2', ...(after === undefined ? {} : { after }) }, their);
      expect(page.object).toBe('list');
      seen.push(...page.data.map(({ id }) => id));
      expect([page.first_id, page.last_id]).toEqual([page.data[0]?.id ?? null, page.data.at(-1)?.id ?? null]);
      if (!page.has_more) break;
      after = page.last_id ?? '';
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toHaveLength(before + 3);
    expect(seen).toEqual(expect.arrayContaining(made));
    const { data } = await history({ limit: '100' }, their);
    const changes = data.map(({ sluice }) => sluice.updated_at);
    expect(changes).toEqual(changes.toSorted((a, b) => b - a));
    const mine = (await history({ limit: '100' })).data.map(({ id }) => id);
    expect(mine.filter((id) => made.includes(id))).toEqual([]);
    await expect(history({ order: 'asc' }, their)).rejects.toMatchObject({ status: 400, param: 'order' });
  });

  it('lists conversations with their own title, or the beginning of their first question [CONV-16]', async () => {
    const titleOf = async (id: string): Promise<string | null> =>
      (await history({ limit: '100' })).data.find((one) => one.id === id)?.sluice.title ?? null;
    const own = await client.conversations.create({ metadata: { title: 'Named' }, items: [user('Hello')] });
    const empty = await client.conversations.create();
    expect([await titleOf(own.id), await titleOf(empty.id)]).toEqual(['Named', null]);

    const question = 'Why does the second invoice of\n the quarter differ from the first one by a single cent?';
    await client.responses.create({ input: 'a forbidden word', conversation: empty.id });
    expect(await titleOf(empty.id)).toBeNull();
    await client.conversations.items.create(empty.id, { items: [user(question)] });
    expect(await titleOf(empty.id)).toBe('Why does the second invoice of the quarter differ from the…');
    expect(gateway.lines.join('\n')).not.toContain('invoice');
  });
});
