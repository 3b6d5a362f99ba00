/* FollowHub over any log: each viewer receives every event once and in order, or is marked lost. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { systemTime } from '../../../src/domain/time.js';
import { type LoggedEvent } from '../../../src/domain/event.js';
import { FollowHub, type FollowOptions } from '../../../src/state/follow/follow-hub.js';
import { type Viewer } from '../../../src/state/follow/viewer.js';
import { type ContractStore, eventually, type OpenStore } from './contract-store.js';
import { LossyLog } from './lossy-log.js';
import { delta, deltas, headOf, numbersOf, terminal } from './log-fixtures.js';

const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, i) => i);

/** Takes all events of a viewer each time it is woken. */
class Reader {
  readonly numbers: number[] = [];
  #viewer: Viewer | undefined;

  static async open(hub: FollowHub, id: string, after: number): Promise<Reader> {
    const reader = new Reader();
    reader.#viewer = await hub.open(id, after, () => reader.drain());
    if (reader.#viewer === undefined) throw new Error('no such log');
    reader.drain();
    return reader;
  }

  get viewer(): Viewer {
    if (this.#viewer === undefined) throw new Error('not open yet');
    return this.#viewer;
  }

  drain(): void {
    if (this.#viewer === undefined) return;
    for (;;) {
      const events = this.#viewer.take(7);
      if (events.length === 0) return;
      this.numbers.push(...numbersOf(events));
    }
  }
}

export function describeFollow(name: string, open: OpenStore): void {
  describe(`follow: ${name}`, () => {
    let store: ContractStore;
    let events: LossyLog;
    let id: string;
    let fence: number;
    let healed: number;
    let tailFound: number;
    const hubs: FollowHub[] = [];

    beforeEach(async () => {
      store = await open();
      events = new LossyLog(store.other.events);
      const head = headOf();
      id = head.responseId;
      fence = await store.state.events.create(head);
      healed = tailFound = 0;
    });
    afterEach(async () => {
      for (const hub of hubs.splice(0)) hub.close();
      await store.close();
    });

    const hubOf = (options: Partial<FollowOptions> = {}): FollowHub => {
      const hooks = { gapHealed: () => (healed += 1), tailFound: () => (tailFound += 1) };
      // Disables the hub's own timer unless a test needs it.
      const hub = new FollowHub({ events, tailCheckMs: 3_600_000, hooks, ...options });
      hubs.push(hub);
      return hub;
    };
    const append = (from: number, to: number) => store.state.events.append(id, fence, deltas(from, to));
    const end = (sequence: number) => store.state.events.append(id, fence, [terminal(sequence)]);

    it('yields past and live events once and in order, from any cursor, over one subscription', async () => {
      await append(0, 9);
      const hub = hubOf();
      const readers = await Promise.all([-1, 0, 4, 9].map((after) => Reader.open(hub, id, after)));
      for (let i = 10; i < 20; i++) await append(i, i);
      await end(20);
      await eventually(() => readers.every(({ viewer }) => viewer.state === 'ended'));
      expect(readers.map(({ numbers }) => numbers)).toEqual([
        upTo(20),
        upTo(20).slice(1),
        upTo(20).slice(5),
        upTo(20).slice(10),
      ]);
      expect(events.subscriptions).toBe(1);
      expect(hub.size).toBe(1);
      for (const { viewer } of readers) viewer.close();
      expect(hub.size).toBe(0);
      expect(events.subscriptions).toBe(0);
    });

    it('loses and repeats nothing for a viewer that opens while events are being written', async () => {
      const hub = hubOf();
      const writing = (async () => {
        for (let i = 0; i < 200; i++) await append(i, i);
        await end(200);
      })();
      const readers: Reader[] = [];
      for (let i = 0; i < 12; i++) {
        readers.push(await Reader.open(hub, id, -1));
        await eventually(() => (readers[0]?.viewer.last ?? 0) >= i * 12);
      }
      await writing;
      await eventually(() => readers.every(({ viewer }) => viewer.state === 'ended'));
      for (const { numbers } of readers) expect(numbers).toEqual(upTo(200));
    });

    it('reads events of a lost message from the log', async () => {
      const reader = await Reader.open(hubOf(), id, -1);
      await append(0, 0);
      await eventually(() => reader.numbers.length === 1);
      events.onWay = (events) => (events.some(({ sequence }) => sequence === 1) ? [] : [events]);
      await append(1, 2);
      await append(3, 3);
      await eventually(() => reader.numbers.length === 4);
      await end(4);
      await eventually(() => reader.viewer.state === 'ended');
      expect(reader.numbers).toEqual(upTo(4));
      expect(healed).toBe(1);
    });

    it('tolerates messages that are repeated or out of order', async () => {
      const reader = await Reader.open(hubOf(), id, -1);
      let kept: Parameters<LossyLog['onWay']>[0] | undefined;
      events.onWay = (events) => {
        // Each pair of messages is swapped, and each comes twice.
        if (kept === undefined) {
          kept = events;
          return [];
        }
        const earlier = kept;
        kept = undefined;
        return [events, earlier, events, earlier];
      };
      for (let i = 0; i < 20; i += 1) await append(i, i);
      await eventually(() => reader.numbers.length === 20);
      await append(20, 20);
      await end(21);
      await eventually(() => reader.viewer.state === 'ended');
      expect(reader.numbers).toEqual(upTo(21));
    });

    it('finds a lost last event by the tail check', async () => {
      let now = 0;
      const hub = hubOf({ tailCheckMs: 3_600_000, time: { ...systemTime, now: () => now } });
      const reader = await Reader.open(hub, id, -1);
      await append(0, 0);
      await eventually(() => reader.numbers.length === 1);
      events.onWay = () => [];
      await end(1);
      await eventually(() => events.messages >= 2);
      await hub.tailCheck();
      expect(reader.viewer.state).toBe('following');
      now += 3_600_000;
      await hub.tailCheck();
      expect(reader.viewer.state).toBe('ended');
      expect(reader.numbers).toEqual([0, 1]);
      expect(tailFound).toBe(1);
    });

    it('checks the tail by itself, and only of silent logs', async () => {
      const reader = await Reader.open(hubOf({ tailCheckMs: 40 }), id, -1);
      events.onWay = () => [];
      await append(0, 2);
      await end(3);
      await eventually(() => reader.viewer.state === 'ended');
      expect(reader.numbers).toEqual(upTo(3));
    });

    it('continues after a gap that no later message would show', async () => {
      const reader = await Reader.open(hubOf(), id, -1);
      events.onWay = () => [];
      await append(0, 3);
      await eventually(() => events.messages === 1);
      events.gap();
      await eventually(() => reader.numbers.length === 4);
      expect(reader.numbers).toEqual(upTo(3));
    });

    it('reads from the log what the ring no longer holds for a slow viewer', async () => {
      const hub = hubOf({ ringEvents: 8, pageEvents: 5 });
      const slow = await hub.open(id, -1, () => undefined);
      const quick = await Reader.open(hub, id, -1);
      for (let i = 0; i < 60; i++) await append(i, i);
      await eventually(() => quick.numbers.length === 60);
      const numbers: number[] = [];
      await eventually(() => {
        numbers.push(...numbersOf(slow?.take(4) ?? []));
        return numbers.length >= 60;
      });
      expect(numbers).toEqual(upTo(59));
      expect(quick.numbers).toEqual(upTo(59));
    });

    it('opens a viewer far behind a long log without reading all of it into the ring', async () => {
      await append(0, 299);
      const hub = hubOf({ ringEvents: 16, pageEvents: 32 });
      const reader = await Reader.open(hub, id, 40);
      await eventually(() => reader.numbers.length === 259);
      await end(300);
      await eventually(() => reader.viewer.state === 'ended');
      expect(reader.numbers).toEqual(upTo(300).slice(41));
    });

    it('reports a cursor ahead of the log', async () => {
      await append(0, 2);
      const hub = hubOf();
      const viewer = await hub.open(id, 9, () => undefined);
      expect(viewer?.last).toBe(2);
      expect(viewer?.take(10)).toEqual([]);
    });

    it('accepts a cursor that is ahead of this replica but not of the log', async () => {
      const hub = hubOf();
      await Reader.open(hub, id, -1);
      events.onWay = () => [];
      await append(0, 5);
      const reader = await Reader.open(hub, id, 4);
      expect(reader.numbers).toEqual([5]);
    });

    it('opens no viewer for a log that does not exist', async () => {
      const hub = hubOf();
      expect(await hub.open('resp_unknown', -1, () => undefined)).toBeUndefined();
      expect(hub.size).toBe(0);
      expect(events.subscriptions).toBe(0);
    });

    it('replays an ended log, and reports at once that there is nothing more', async () => {
      await append(0, 4);
      await end(5);
      const hub = hubOf();
      const whole = await Reader.open(hub, id, -1);
      const atEnd = await Reader.open(hub, id, 5);
      expect(whole.numbers).toEqual(upTo(5));
      expect([whole.viewer.state, atEnd.viewer.state]).toEqual(['ended', 'ended']);
    });

    it('marks a viewer as lost when its log is deleted', async () => {
      const hub = hubOf();
      const reader = await Reader.open(hub, id, -1);
      await append(0, 0);
      await eventually(() => reader.numbers.length === 1);
      await store.state.events.delete(id);
      await eventually(() => reader.viewer.state === 'lost');
      expect(reader.numbers).toEqual([0]);
    });

    describe('a log that lost its tail after a failover to a stale copy', () => {
      const open = async () => {
        await append(0, 5);
        const hub = hubOf();
        const reader = await Reader.open(hub, id, -1);
        expect(reader.numbers).toEqual(upTo(5));
        return { hub, reader };
      };
      const look = async () => {
        const { reads } = events;
        events.gap();
        await eventually(() => events.reads > reads);
        await new Promise((resolve) => setTimeout(resolve, 10));
      };

      it('makes its viewers wait for its writer, which writes the tail again', async () => {
        const { reader } = await open();
        events.onRead = (page) => page && { ...page, events: [], last: 2 };
        await look();
        expect(reader.viewer.state).toBe('following');
        events.onRead = (page) => page;
        await append(3, 8);
        await end(9);
        await eventually(() => reader.viewer.state === 'ended');
        expect(reader.numbers).toEqual(upTo(9));
      });

      it('is lost to its viewers when it has ended before their cursor', async () => {
        const { reader } = await open();
        events.onRead = (page) => page && { ...page, events: [], last: 2, ended: true };
        await look();
        await eventually(() => reader.viewer.state === 'lost');
        expect(reader.numbers).toEqual(upTo(5));
      });

      it.each(['a read', 'a message'])('is lost to its viewers when %s contradicts what they saw', async (how) => {
        const { hub, reader } = await open();
        const changed = (events: readonly LoggedEvent[]) =>
          events.map((event) => (event.sequence === 5 ? delta(5, 'other') : event));
        if (how === 'a message') {
          events.onWay = (events) => [[delta(5, 'other'), ...events]];
          await append(6, 6);
        } else {
          events.onRead = (page) => page && { ...page, events: changed(page.events) };
          await look();
        }
        await eventually(() => reader.viewer.state === 'lost');
        expect(reader.numbers).toEqual(upTo(5));
        // A new viewer sees what there is, from any number.
        events.onWay = (events) => [events];
        const fresh = await Reader.open(hub, id, 1);
        await end(how === 'a message' ? 7 : 6);
        await eventually(() => fresh.viewer.state === 'ended');
        expect(fresh.numbers[0]).toBe(2);
        expect(reader.viewer.state).toBe('lost');
        reader.viewer.close();
        fresh.viewer.close();
        expect([hub.size, events.subscriptions]).toEqual([0, 0]);
      });
    });

    it('continues after reads failed for a while', async () => {
      const reader = await Reader.open(hubOf({ tailCheckMs: 30 }), id, -1);
      events.readFails = new SluiceError('state_unavailable', 'unable to read; it is away; try again');
      events.onWay = () => [];
      await append(0, 3);
      await eventually(() => events.reads > 3);
      events.readFails = undefined;
      await end(4);
      await eventually(() => reader.viewer.state === 'ended');
      expect(reader.numbers).toEqual(upTo(4));
    });

    it('fails to open while the store is unavailable, and opens afterwards', async () => {
      const hub = hubOf();
      events.readFails = new SluiceError('state_unavailable', 'unable to read; it is away; try again');
      await expect(hub.open(id, -1, () => undefined)).rejects.toMatchObject({ code: 'state_unavailable' });
      events.readFails = undefined;
      await append(0, 0);
      expect((await Reader.open(hub, id, -1)).numbers).toEqual([0]);
    });
  });
}
