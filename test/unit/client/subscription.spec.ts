/*
 * A followed conversation: its items, then its turns, without a gap or a repetition, however both
 * overlap.
 */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ConversationEvent, type ConversationItem, type List } from '../../../client/src/api.js';
import { SluiceError } from '../../../client/src/errors.js';
import { LiveResponse } from '../../../client/src/response.js';
import { LiveSubscription } from '../../../client/src/subscription.js';

const item = (id: string, responseId: string | null = null): ConversationItem => ({
  type: 'message',
  id,
  status: 'completed',
  role: 'user',
  content: [{ type: 'input_text', text: id }],
  sluice: { author: 'user', response_id: responseId, withheld: false },
});
const page = (data: ConversationItem[], more = false): List<ConversationItem> => ({
  data,
  last_id: data.at(-1)?.id ?? null,
  has_more: more,
});

describe('a subscription', () => {
  /** Answers the next request for items. */
  let answer: (what: List<ConversationItem> | SluiceError) => Promise<void>;
  let asked: (string | undefined)[];
  let followed: string[];
  let emitted: string[];
  let subscription: LiveSubscription;

  beforeEach(() => {
    const waiting: ((what: List<ConversationItem> | SluiceError) => void)[] = [];
    let arrived: () => void = () => undefined;
    asked = [];
    followed = [];
    emitted = [];
    subscription = new LiveSubscription('conv_1', 'watch0', {
      items: (after) => {
        asked.push(after);
        return new Promise((resolve, reject) => {
          waiting.push((what) => (what instanceof SluiceError ? reject(what) : resolve(what)));
          arrived();
        });
      },
      follow: (id) => {
        followed.push(id);
        return new LiveResponse({ cursor: { id } }, () => undefined);
      },
      closed: () => undefined,
    });
    subscription.on('event', (event) => emitted.push(nameOf(event)));
    answer = async (what) => {
      while (waiting.length === 0) await new Promise<void>((resolve) => (arrived = resolve));
      waiting.shift()?.(what);
      await new Promise((resolve) => setImmediate(resolve));
    };
  });
  afterEach(() => {
    jest.useRealTimers();
  });
  const nameOf = (event: ConversationEvent): string =>
    event.type === 'item' ? event.item.id : event.type === 'turn' ? `turn ${event.response.id}` : event.type;

  it('emits every page of items, then the turns announced meanwhile', async () => {
    void subscription.subscribed();
    void subscription.turn('resp_2', [item('q2')]);
    await answer(page([item('q1', 'resp_1'), item('a1', 'resp_1')], true));
    await answer(page([item('note')]));
    expect(asked).toEqual([undefined, 'a1']);
    expect(emitted).toEqual(['q1', 'a1', 'note', 'caught_up', 'turn resp_2']);
    expect(followed).toEqual(['resp_2']);
  });

  it('emits only the items of a turn that ended before they were read', async () => {
    void subscription.subscribed();
    void subscription.turn('resp_1', [item('q1', 'resp_1')]);
    await answer(page([item('q1', 'resp_1'), item('a1', 'resp_1')]));
    expect(emitted).toEqual(['q1', 'a1', 'caught_up']);
    expect(followed).toEqual([]);
  });

  it('omits the items of a turn that was shown live when it loads again after a reconnect', async () => {
    void subscription.subscribed();
    await answer(page([item('q1', 'resp_1')]));
    void subscription.turn('resp_2', [item('q2', 'resp_2')]);
    void subscription.subscribed();
    await answer(page([item('q2', 'resp_2'), item('a2', 'resp_2'), item('q3', 'resp_3')]));
    expect(asked).toEqual([undefined, 'q1']);
    expect(emitted).toEqual(['q1', 'caught_up', 'turn resp_2', 'q3']);
  });

  it("recognizes a client's own question if the answer was never announced", async () => {
    void subscription.subscribed();
    await answer(page([]));
    const own = new LiveResponse({ idempotencyKey: 'k' }, () => undefined);
    own.sent = true;
    subscription.own(own, 'Hi');
    void subscription.subscribed();
    await answer(page([item('q1', 'resp_1'), item('a1', 'resp_1')]));
    expect(emitted).toEqual(['caught_up', 'turn null']);
    // The gateway answers the create only now.
    own.take({
      type: 'response.created',
      sequence_number: 0,
      response: { id: 'resp_1', output: [], output_text: '' } as never,
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(emitted).toHaveLength(2);
  });

  it('does not repeat its own question when the gateway announces the turn before it confirms it', async () => {
    void subscription.subscribed();
    await answer(page([]));
    const own = new LiveResponse({ idempotencyKey: 'k' }, () => undefined);
    own.sent = true;
    subscription.own(own, 'Hi');
    const announced = subscription.turn('resp_1', [item('q1', 'resp_1')]);
    own.take({
      type: 'response.created',
      sequence_number: 0,
      response: { id: 'resp_1', output: [], output_text: '' } as never,
    });
    await announced;
    expect(followed).toEqual([]);
    expect(emitted).toEqual(['caught_up', 'turn null']);
  });

  it("emits a client's own running answer after the items of the conversation", async () => {
    const own = new LiveResponse({ cursor: { id: 'resp_2' } }, () => undefined);
    subscription.own(own, 'Hi');
    void subscription.subscribed();
    await answer(page([item('q1', 'resp_1'), item('a1', 'resp_1')]));
    expect(emitted).toEqual(['q1', 'a1', 'caught_up', 'turn resp_2']);
    expect(followed).toEqual(['resp_2']);
  });

  it('emits only the items of its own answer if it ended meanwhile', async () => {
    const own = new LiveResponse({ cursor: { id: 'resp_1' } }, () => undefined);
    subscription.own(own, 'Hi');
    void subscription.subscribed();
    await answer(page([item('q1', 'resp_1'), item('a1', 'resp_1')]));
    expect(emitted).toEqual(['q1', 'a1', 'caught_up']);
  });

  it('starts over when its cursor is gone, and emits nothing twice', async () => {
    void subscription.subscribed();
    await answer(page([item('q1'), item('q2')]));
    void subscription.subscribed();
    await answer(new SluiceError('refused', 'invalid_cursor', 'gone', { status: 400 }));
    await answer(page([item('q2'), item('q3')]));
    expect(asked).toEqual([undefined, 'q2', undefined]);
    expect(emitted).toEqual(['q1', 'q2', 'caught_up', 'q3']);
  });

  it('reads again when a request was lost, at once on the next socket', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate'] });
    void subscription.subscribed();
    await answer(new SluiceError('refused', 'network', 'away'));
    expect(asked).toHaveLength(1);
    void subscription.subscribed();
    await answer(new SluiceError('refused', 'network', 'away'));
    expect(asked).toHaveLength(2);
    jest.advanceTimersByTime(2_000);
    await answer(page([item('q1')]));
    expect(emitted).toEqual(['q1', 'caught_up']);
    jest.advanceTimersByTime(10_000);
    expect(asked.length).toBeLessThanOrEqual(4);
  });

  it('ends when the conversation is deleted', async () => {
    const ends: unknown[] = [];
    subscription.on('end', (error) => ends.push(error?.code));
    void subscription.subscribed();
    await answer(new SluiceError('refused', 'conversation_not_found', 'gone', { status: 404 }));
    expect(ends).toEqual(['conversation_not_found']);
    const loop = subscription[Symbol.asyncIterator]();
    await expect(loop.next()).rejects.toMatchObject({ code: 'conversation_not_found' });
  });

  it('yields everything from the start to a late loop, and ends it with close', async () => {
    void subscription.subscribed();
    await answer(page([item('q1')]));
    const seen: string[] = [];
    const loop = (async () => {
      for await (const event of subscription) seen.push(nameOf(event));
    })();
    await new Promise((resolve) => setImmediate(resolve));
    await subscription.turn('resp_2', []);
    subscription.close();
    await loop;
    expect(seen).toEqual(['q1', 'caught_up', 'turn resp_2']);
  });
});
