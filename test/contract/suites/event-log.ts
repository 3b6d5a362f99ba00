/* The contract of EventLog: appends, reads, following, cancels and deletion. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type LoggedEvent } from '../../../src/domain/event.js';
import { newId } from '../../../src/domain/ids.js';
import { type ContractStore, eventually, inTime, type OpenStore } from './contract-store.js';
import { delta, deltas, headOf, numbersOf, terminal } from './log-fixtures.js';

export function describeEventLog(name: string, open: OpenStore): void {
  describe(`event log: ${name}`, () => {
    let store: ContractStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const created = async (fields = {}) => {
      const head = headOf(fields);
      return { head, id: head.responseId, fence: await store.state.events.create(head) };
    };
    const readAll = async (id: string) => (await store.other.events.read(id, -1, 1_000))?.events;

    it('creates an empty log with fence 1, and refuses to create it twice', async () => {
      const { head, id, fence } = await created();
      expect(fence).toBe(1);
      expect(await store.other.events.read(id, -1, 10)).toEqual({ head, events: [], last: -1, ended: false });
      await expect(store.state.events.create(head)).rejects.toThrow('exists already');
    });

    describe('a log of a turn that may begin', () => {
      const create = async (conversationId: string | null, place: 'head' | 'waits' | 'none') => {
        const head = headOf({ conversationId });
        const announced: string[] = [];
        const stop =
          conversationId === null
            ? () => undefined
            : await store.other.announcements.watch(
                conversationId,
                (id) => announced.push(id),
                () => undefined,
              );
        if (conversationId !== null) {
          if (place === 'waits') await store.other.claim.join(conversationId, 'resp_before', 8);
          if (place !== 'none') await store.state.claim.join(conversationId, head.responseId, 8);
        }
        const made = await store.state.events.createWith(head, deltas(0, 1), deltas(2, 3));
        return { head, made, announced, stop };
      };

      it('holds the next events if the turn is in no conversation', async () => {
        const { head, made } = await create(null, 'none');
        expect(made).toEqual({ fence: 1, begun: true });
        expect(await readAll(head.responseId)).toEqual(deltas(0, 3));
        expect((await store.state.events.append(head.responseId, 1, [terminal(4)])).outcome).toBe('appended');
      });

      it('holds the next events and is announced if the turn is the head of its queue', async () => {
        const { head, made, announced, stop } = await create(newId('conv'), 'head');
        // A store whose queue is on another server than the log leaves both to the turn.
        if (made.begun) await eventually(() => announced.length > 0);
        expect(announced).toEqual(made.begun ? [head.responseId] : []);
        expect(await readAll(head.responseId)).toEqual(deltas(0, made.begun ? 3 : 1));
        const next = made.begun ? 4 : 2;
        expect((await store.state.events.append(head.responseId, 1, [delta(next)])).outcome).toBe('appended');
        expect(made.fence).toBe(1);
        stop();
      });

      it.each(['waits', 'none'] as const)('does not hold them if the turn has this place: %s', async (place) => {
        const { head, made, announced, stop } = await create(newId('conv'), place);
        expect(made).toEqual({ fence: 1, begun: false });
        expect(await readAll(head.responseId)).toEqual(deltas(0, 1));
        await store.state.announcements.announce(head.conversationId ?? '', 'resp_later');
        await eventually(() => announced.length > 0);
        expect(announced).toEqual(['resp_later']);
        stop();
      });
    });

    it('creates a log with its first events, and appends after them', async () => {
      const head = headOf();
      const { responseId: id } = head;
      const { fence } = await store.state.events.createWith(head, deltas(0, 1));
      expect(fence).toBe(1);
      expect(await store.other.events.read(id, -1, 10)).toEqual({ head, events: deltas(0, 1), last: 1, ended: false });
      await expect(store.other.events.createWith(head, deltas(0, 1))).rejects.toThrow('exists already');
      const numbers: number[] = [];
      const stop = await store.other.events.subscribe(
        id,
        (events) => numbers.push(...numbersOf(events)),
        () => undefined,
      );
      expect((await store.state.events.append(id, fence, [delta(2), terminal(3)])).outcome).toBe('appended');
      await eventually(() => numbers.length === 2);
      expect(numbers).toEqual([2, 3]);
      expect(await readAll(id)).toEqual([...deltas(0, 2), terminal(3)]);
      stop();
    });

    it('returns exactly the events that were appended, in pages', async () => {
      // A log that is not to be stored is gone soon after its end.
      await inTime(store.times.endedUnstoredMs, async () => {
        const { head, id, fence } = await created({ conversationId: 'conv_1', store: false });
        const events = [delta(0, 'Grüße, 世界 🎉 "quoted"\\\n\u2028'), ...deltas(1, 9), terminal(10)];
        expect(await store.state.events.append(id, fence, events.slice(0, 1))).toEqual({
          outcome: 'appended',
          cancelRequested: false,
        });
        await store.state.events.append(id, fence, events.slice(1));
        expect(await readAll(id)).toEqual(events);
        expect(await store.other.events.read(id, 3, 2)).toEqual({
          head,
          events: events.slice(4, 6),
          last: 10,
          ended: true,
        });
        expect(await store.other.events.read(id, 10, 5)).toEqual({ head, events: [], last: 10, ended: true });
        expect(await store.other.events.read(id, 99, 5)).toMatchObject({ events: [], last: 10 });
        expect(await store.other.events.read(id, -1, 0)).toMatchObject({ events: [], last: 10 });
      });
    });

    it('keeps an event of any size', async () => {
      const { id, fence } = await created();
      const large = delta(0, 'x'.repeat(300_000));
      await store.state.events.append(id, fence, [large]);
      expect(await readAll(id)).toEqual([large]);
    });

    it('accepts many concurrent appends, each response in its own order', async () => {
      const turns = await Promise.all(Array.from({ length: 40 }, () => created()));
      await Promise.all(
        turns.map(async ({ id, fence }) => {
          for (let i = 0; i < 5; i++) await store.state.events.append(id, fence, deltas(i * 2, i * 2 + 1));
        }),
      );
      for (const { id } of turns) expect(numbersOf((await readAll(id)) ?? [])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    it('skips events that it already holds, so that a retry adds nothing', async () => {
      const { id, fence } = await created();
      await store.state.events.append(id, fence, deltas(0, 2));
      const again = await store.state.events.append(id, fence, deltas(0, 2));
      expect(again.outcome).toBe('appended');
      const overlapping = await store.state.events.append(id, fence, deltas(1, 4));
      expect(overlapping.outcome).toBe('appended');
      expect(numbersOf((await readAll(id)) ?? [])).toEqual([0, 1, 2, 3, 4]);
    });

    it('accepts a repeated terminal, and nothing after it', async () => {
      const { id, fence } = await created();
      await store.state.events.append(id, fence, [delta(0), terminal(1)]);
      expect((await store.state.events.append(id, fence, [terminal(1)])).outcome).toBe('appended');
      expect((await store.state.events.append(id, fence, [delta(2)])).outcome).toBe('fenced');
      expect(await store.state.events.read(id, -1, 10)).toMatchObject({ last: 1, ended: true });
    });

    it('never leaves a gap in the numbers', async () => {
      const { id, fence } = await created();
      await store.state.events.append(id, fence, deltas(0, 1));
      expect((await store.state.events.append(id, fence, [delta(3)])).outcome).toBe('fenced');
      expect(numbersOf((await readAll(id)) ?? [])).toEqual([0, 1]);
    });

    it('fences an append with another fence or without a log', async () => {
      const { id, fence } = await created();
      expect((await store.state.events.append(id, fence + 1, [delta(0)])).outcome).toBe('fenced');
      expect((await store.state.events.append('resp_unknown', 1, [delta(0)])).outcome).toBe('fenced');
      expect(await readAll(id)).toEqual([]);
    });

    it('delivers each append to followers on every replica once the log holds it', async () => {
      const { id, fence } = await created();
      const delivered: LoggedEvent[] = [];
      let readAtFirst: ReturnType<typeof store.other.events.read> | undefined;
      const stop = await store.other.events.subscribe(
        id,
        (events) => {
          delivered.push(...events);
          readAtFirst ??= store.other.events.read(id, -1, 10);
        },
        () => undefined,
      );
      const here: LoggedEvent[] = [];
      const stopHere = await store.state.events.subscribe(
        id,
        (events) => here.push(...events),
        () => undefined,
      );
      await store.state.events.append(id, fence, [delta(0)]);
      await store.state.events.append(id, fence, [delta(1, 'two\nlines'), terminal(2)]);
      await eventually(() => delivered.length === 3 && here.length === 3);
      expect(delivered).toEqual([delta(0), delta(1, 'two\nlines'), terminal(2)]);
      expect(here).toEqual(delivered);
      expect((await readAtFirst)?.events).toContainEqual(delta(0));
      stop();
      stopHere();
    });

    it('delivers nothing to a follower that has left, and continues to deliver to the others', async () => {
      const { id, fence } = await created();
      const left: number[] = [];
      const stayed: number[] = [];
      const stop = await store.other.events.subscribe(
        id,
        (events) => left.push(...numbersOf(events)),
        () => undefined,
      );
      const stopLast = await store.other.events.subscribe(
        id,
        (events) => stayed.push(...numbersOf(events)),
        () => undefined,
      );
      stop();
      stop();
      await store.state.events.append(id, fence, [delta(0)]);
      await eventually(() => stayed.length === 1);
      expect(left).toEqual([]);
      stopLast();
    });

    it('reports a large append as events or as a gap', async () => {
      const { id, fence } = await created();
      const delivered: number[] = [];
      let gaps = 0;
      const stop = await store.other.events.subscribe(
        id,
        (events) => delivered.push(...numbersOf(events)),
        () => (gaps += 1),
      );
      await store.state.events.append(id, fence, [delta(0, 'é'.repeat(100_000))]);
      await eventually(() => delivered.length + gaps > 0);
      await store.state.events.append(id, fence, [delta(1)]);
      await eventually(() => delivered.includes(1));
      stop();
    });

    it('stores a cancel until the next append, and signals it at once to a watching owner', async () => {
      const { id, fence } = await created();
      let called = 0;
      const stop = await store.state.lease.watchCancel(id, () => (called += 1));
      expect(await store.other.events.requestCancel(id)).toBe(true);
      expect(await store.other.events.requestCancel(id)).toBe(true);
      await eventually(() => called > 0);
      stop();
      expect(await store.state.events.append(id, fence, [delta(0)])).toEqual({
        outcome: 'appended',
        cancelRequested: true,
      });
      expect(await store.state.lease.renew(id, fence)).toEqual({ held: true, cancelRequested: true });
    });

    it('does not signal for another response, nor after the watch ended', async () => {
      const first = await created();
      const second = await created();
      const called: string[] = [];
      const stopFirst = await store.state.lease.watchCancel(first.id, () => called.push('first'));
      const stopSecond = await store.state.lease.watchCancel(second.id, () => called.push('second'));
      stopFirst();
      await store.other.events.requestCancel(first.id);
      await store.other.events.requestCancel(second.id);
      await eventually(() => called.length > 0);
      expect(called).toEqual(['second']);
      stopSecond();
    });

    it('refuses to cancel an unknown or ended response', async () => {
      const { id, fence } = await created();
      await store.state.events.append(id, fence, [terminal(0)]);
      expect(await store.other.events.requestCancel(id)).toBe(false);
      expect(await store.other.events.requestCancel('resp_unknown')).toBe(false);
    });

    it('deletes a log and wakes its followers', async () => {
      const { id, fence } = await created();
      let gaps = 0;
      const stop = await store.other.events.subscribe(
        id,
        () => undefined,
        () => (gaps += 1),
      );
      await store.state.events.delete(id);
      await eventually(() => gaps > 0);
      expect(await store.other.events.read(id, -1, 10)).toBeUndefined();
      expect((await store.state.events.append(id, fence, [delta(0)])).outcome).toBe('fenced');
      expect(await store.state.lease.renew(id, fence)).toEqual({ held: false, cancelRequested: false });
      await store.state.events.delete(id);
      stop();
    });

    it('keeps an ended log for its time, a shorter time if it was not to be stored', async () => {
      const kept = await created();
      const unstored = await created({ store: false });
      for (const { id, fence } of [kept, unstored]) await store.state.events.append(id, fence, [terminal(0)]);
      await store.pass(store.times.endedUnstoredMs + 20);
      expect(await store.state.events.read(unstored.id, -1, 1)).toBeUndefined();
      expect(await store.state.events.read(kept.id, -1, 1)).toMatchObject({ last: 0 });
      await store.pass(store.times.endedMs - store.times.endedUnstoredMs);
      expect(await store.state.events.read(kept.id, -1, 1)).toBeUndefined();
    });

    it('keeps a running log as long as it is written or renewed', async () => {
      const written = await created();
      const renewed = await created();
      const idle = await created();
      // Together they are longer than `runningMs`, and each leaves more than half of it unused.
      for (let i = 0; i < 3; i++) {
        await store.pass(store.times.runningMs * 0.4);
        await store.state.events.append(written.id, written.fence, [delta(i)]);
        await store.state.lease.renew(renewed.id, renewed.fence);
      }
      expect(await store.state.events.read(written.id, -1, 1)).toMatchObject({ last: 2 });
      expect(await store.state.events.read(renewed.id, -1, 1)).toMatchObject({ last: -1 });
      expect(await store.state.events.read(idle.id, -1, 1)).toBeUndefined();
    });
  });
}
