/*
 * The contract of EventLog.end: the end of a response is stored with its terminal event, once, and
 * by the owner of its log.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ResponseObject, type StoredResponse } from '../../../src/domain/response.js';
import { type ContractStore, eventually, type OpenStore } from './contract-store.js';
import { deltas, headOf, numbersOf, terminal } from './log-fixtures.js';

/**
 * @param inSteps whether the store ends a response in steps: then the events before the terminal
 * are appended first, and an end is stored before its terminal is refused
 */
export function describeResponseEnd(name: string, open: OpenStore, { inSteps = false } = {}): void {
  describe(`end of a response: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    // In a conversation, whose data key outlives each of its responses.
    const created = async () => {
      const head = headOf({ conversationId: 'conv_1' });
      return { id: head.responseId, fence: await store.state.events.create(head) };
    };
    /** The stores read the id of a response only. */
    const endOf = (id: string, text = 'said “é”'): StoredResponse => ({
      owner: 'tenant/ann',
      response: { id, output_text: text, conversation: { id: 'conv_1' } } as ResponseObject,
      input: [],
      context: [],
      terminalSequence: 2,
    });
    const last = [...deltas(0, 1), terminal(2)];
    const read = async (id: string) => (await store.other.events.read(id, -1, 10))?.events;

    it('stores the end before a follower receives the terminal event [EV-13]', async () => {
      const { id, fence } = await created();
      let found: Promise<StoredResponse | undefined> | undefined;
      const stop = await store.other.events.subscribe(
        id,
        (events) => {
          if (numbersOf(events).includes(2)) found ??= store.other.responses.get(id);
        },
        () => undefined,
      );
      const ended = await store.state.events.end(id, fence, last, endOf(id));
      expect(ended).toEqual({ outcome: 'appended', cancelRequested: false });
      await eventually(() => found !== undefined);
      expect(await found).toEqual(endOf(id));
      expect(await store.other.events.read(id, -1, 10)).toMatchObject({ events: last, ended: true });
      stop();
    });

    it('changes nothing when it is repeated after a lost reply', async () => {
      const { id, fence } = await created();
      const stored = endOf(id);
      await store.state.events.end(id, fence, last, stored);
      expect((await store.state.events.end(id, fence, last, stored)).outcome).toBe('appended');
      expect(await read(id)).toEqual(last);
      expect(await store.other.responses.get(id)).toEqual(stored);
    });

    it('appends the terminal event of an end that it stored before', async () => {
      const { id, fence } = await created();
      const stored = endOf(id);
      await store.state.responses.put(stored);
      expect((await store.state.events.end(id, fence, last, stored)).outcome).toBe('appended');
      expect(await read(id)).toEqual(last);
    });

    it('returns another end that is stored already, and does not append its own [EV-13]', async () => {
      const { id, fence } = await created();
      await store.other.responses.put(endOf(id, 'first'));
      expect(await store.state.events.end(id, fence, last, endOf(id, 'second'))).toEqual({
        outcome: 'ended_before',
        stored: endOf(id, 'first'),
      });
      expect(await read(id)).toEqual(inSteps ? last.slice(0, -1) : []);
      expect(await store.other.responses.get(id)).toEqual(endOf(id, 'first'));
      expect((await store.state.events.append(id, fence, last)).outcome).toBe('appended');
    });

    it('appends the terminal event of a deleted response, and does not store it again', async () => {
      const { id, fence } = await created();
      await store.other.responses.delete(id);
      expect((await store.state.events.end(id, fence, last, endOf(id))).outcome).toBe('appended');
      expect(await read(id)).toEqual(last);
      expect(await store.other.responses.get(id)).toBeUndefined();
    });

    it('appends nothing of a replica that lost the turn', async () => {
      const { id, fence } = await created();
      await store.pass(store.times.leaseMs + 30);
      await eventually(async () => (await store.other.lease.adoptExpired(10)).length > 0);
      expect(await store.state.events.end(id, fence, last, endOf(id))).toEqual({ outcome: 'fenced' });
      expect(await read(id)).toEqual([]);
      expect(await store.other.responses.hasEnded(id)).toBe(false);
    });

    it('appends nothing behind a gap', async () => {
      const { id, fence } = await created();
      const behind = [terminal(2)];
      expect(await store.state.events.end(id, fence, behind, endOf(id))).toEqual({ outcome: 'fenced' });
      expect(await store.other.responses.hasEnded(id)).toBe(inSteps);
    });

    it('ends many responses at once, beside appends to others', async () => {
      const turns = await Promise.all(Array.from({ length: 20 }, () => created()));
      const results = await Promise.all(
        turns.map(async ({ id, fence }, i) =>
          i % 2 === 0
            ? store.state.events.end(id, fence, last, endOf(id, `answer ${i}`))
            : store.state.events.append(id, fence, deltas(0, i)),
        ),
      );
      expect(results.map(({ outcome }) => outcome)).toEqual(turns.map(() => 'appended'));
      for (const [i, { id }] of turns.entries()) {
        expect(await read(id)).toEqual(i % 2 === 0 ? last : deltas(0, i).slice(0, 10));
        expect(await store.other.responses.get(id)).toEqual(i % 2 === 0 ? endOf(id, `answer ${i}`) : undefined);
      }
    });

    it('stores an end for as long as responses are stored', async () => {
      const { id, fence } = await created();
      await store.state.events.end(id, fence, last, endOf(id));
      await store.pass(store.ttlMs + 100);
      expect(await store.other.responses.get(id)).toBeUndefined();
    });
  });
}
