/*
 * Everything that can be read of a response: its state, its events from any number, its end.
 * Responses of other owners are not found.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type LoggedEvent } from '../../../src/domain/event.js';
import { systemTime } from '../../../src/domain/time.js';
import { type EventLog } from '../../../src/state/event-log.js';
import { type FollowHub } from '../../../src/state/follow/follow-hub.js';
import { ResponseReader } from '../../../src/turn/response-reader.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, away, BOB, ORIGIN, requestOf, TurnHarness, userItem } from './turn-harness.js';

let now: number;
let harness: TurnHarness;
beforeEach(() => {
  now = 1_000_000;
  harness = new TurnHarness({ answers: [[say('One')], [say('Two'), HANG]], time: { ...systemTime, now: () => now } });
});
afterEach(async () => {
  await harness.close();
});

const never = new AbortController().signal;

async function read(id: string, after = -1, caller = ALICE): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = [];
  for await (const batch of harness.reader.events(caller, id, after, never)) events.push(...batch);
  return events;
}

/** A turn that wrote some text and still runs. */
async function running(): Promise<string> {
  await harness.play(requestOf('first'));
  const { responseId } = await harness.turns.create(ALICE, requestOf('second'), ORIGIN);
  while (!(await harness.types(responseId)).includes('output_text.delta')) await new Promise(setImmediate);
  return responseId;
}

async function cancel(id: string): Promise<void> {
  await harness.turns.cancel(ALICE, id);
  await harness.turns.whenIdle();
}

const PAST_RETENTION_MS = 11 * 60_000;

describe('ResponseReader.retrieve', () => {
  it('returns a running response in its current state and an ended one with its end', async () => {
    const id = await running();
    expect(await harness.reader.retrieve(ALICE, id)).toMatchObject({ status: 'in_progress', output_text: 'Two' });
    await cancel(id);
    expect(await harness.reader.retrieve(ALICE, id)).toMatchObject({ status: 'cancelled', output_text: 'Two' });
  });

  it('returns an unstored response while its events are kept', async () => {
    const id = await harness.play(requestOf('Hi', { store: false }));
    expect((await harness.reader.retrieve(ALICE, id)).status).toBe('completed');
    now += 60_001;
    await expect(harness.reader.retrieve(ALICE, id)).rejects.toMatchObject({ code: 'response_not_found' });
  });
});

describe('ResponseReader.open', () => {
  it('continues after any number up to the terminal', async () => {
    const id = await harness.play(requestOf('Hi'));
    const all = await read(id);
    expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, i) => i));
    for (const after of [0, 3, all.length - 2]) expect(await read(id, after)).toEqual(all.slice(after + 1));
    expect(await read(id, all.length - 1)).toEqual([]);
  });

  it('refuses a number past the end', async () => {
    const id = await harness.play(requestOf('Hi'));
    const { length } = await harness.events(id);
    await expect(read(id, length)).rejects.toMatchObject({ code: 'invalid_cursor', param: 'starting_after' });
    expect(harness.hub.size).toBe(0);
  });

  it('reports deleted events as expired to the owner, and as not found to other callers', async () => {
    const id = await harness.play(requestOf('Hi'));
    now += PAST_RETENTION_MS;
    await expect(read(id)).rejects.toMatchObject({ code: 'response_expired' });
    await expect(read(id, -1, BOB)).rejects.toMatchObject({ code: 'response_not_found' });
  });

  it('reports when the log is lost while it is read', async () => {
    const id = await running();
    const reading = read(id);
    while (harness.hub.size === 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
    await harness.plain.events.delete(id);
    await expect(reading).rejects.toMatchObject({ code: 'response_expired' });
    await harness.turns.abortAll(away());
  });
});

describe('ResponseReader.settled', () => {
  it('waits for the end, or returns the current state after its time limit', async () => {
    const id = await running();
    expect(await harness.reader.settled(ALICE, id, never, 1)).toMatchObject({
      status: 'in_progress',
      output_text: 'Two',
    });
    const settled = harness.reader.settled(ALICE, id, never);
    await cancel(id);
    expect((await settled).status).toBe('cancelled');
    now += PAST_RETENTION_MS;
    expect((await harness.reader.settled(ALICE, id, never)).status).toBe('cancelled');
  });

  it('waits on when the events that it follows were replaced, and returns no running response', async () => {
    const id = await running();
    const settled = readerThatLosesOnce().settled(ALICE, id, never);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await cancel(id);
    expect((await settled).status).toBe('cancelled');
  });
});

/** A reader whose first viewer of the newest events is lost, as after a failover of the store. */
function readerThatLosesOnce(events: Pick<EventLog, 'read'> = harness.plain.events): ResponseReader {
  const { hub } = harness;
  let lost = false;
  const open: FollowHub['open'] = async (...args) => {
    const viewer = await hub.open(...args);
    if (lost || viewer === undefined) return viewer;
    lost = true;
    viewer.close();
    // Only these are read of a viewer without events.
    return { head: viewer.head, last: viewer.last, state: 'lost', take: () => [], close: () => undefined } as never;
  };
  return new ResponseReader(events as EventLog, { open } as unknown as FollowHub, harness.plain.responses);
}

describe('ResponseReader.events', () => {
  it('reports events that the log has lost, also if it has ended since', async () => {
    const id = await harness.play(requestOf('Hi'));
    const { events } = harness.plain;
    const shorter = {
      read: async (...args: Parameters<typeof events.read>) => {
        const page = await events.read(...args);
        return page === undefined ? page : { ...page, last: page.last - 1 };
      },
    };
    const after = (await harness.events(id)).length - 1;
    const lost = readerThatLosesOnce(shorter);
    await expect(lost.events(ALICE, id, after, never).next()).rejects.toMatchObject({ code: 'response_expired' });
  });
});

describe('ResponseReader.snapshot', () => {
  it('ends a snapshot of an ended response before its terminal event', async () => {
    const id = await harness.play(requestOf('Hi'));
    const { json, sequence, terminal } = await harness.reader.snapshot(ALICE, id);
    const response: unknown = JSON.parse(json.toString());
    const { length } = await harness.events(id);
    expect(sequence).toBe(length - 2);
    expect(response).toMatchObject({ status: 'in_progress', output_text: 'One' });
    expect(terminal).toBeNull();
  });

  it('returns the stored end with its sequence number when the events are gone', async () => {
    const id = await harness.play(requestOf('Hi'));
    const last = (await harness.events(id)).length - 1;
    now += PAST_RETENTION_MS;
    const { sequence, terminal } = await harness.reader.snapshot(ALICE, id);
    expect(sequence).toBe(last - 1);
    expect(terminal).toMatchObject({ sequence: last, type: 'response.completed' });
    expect(JSON.parse(terminal?.json ?? '')).toMatchObject({
      sequence_number: last,
      response: { id, output_text: 'One', status: 'completed' },
    });
  });
});

describe('a response of another owner', () => {
  it('reports a response of another owner as not found for every operation', async () => {
    const id = await running();
    const ways: ((id: string) => Promise<unknown>)[] = [
      (each) => harness.reader.retrieve(BOB, each),
      (each) => harness.reader.open(BOB, each, -1, () => undefined),
      (each) => harness.reader.snapshot(BOB, each),
      (each) => harness.reader.settled(BOB, each, never),
      (each) => harness.reader.inputItems(BOB, each, { limit: 1, order: 'asc' }),
      (each) => harness.reader.status(BOB, each),
      (each) => harness.reader.remove(BOB, each),
      (each) => harness.turns.cancel(BOB, each),
    ];
    for (const way of ways) {
      const [foreign, unknown] = await Promise.all(
        [id, 'resp_none'].map((each) =>
          way(each).then(
            () => 'found',
            (error: Error) => ({ ...error, message: error.message }),
          ),
        ),
      );
      expect(foreign).toMatchObject({ code: 'response_not_found' });
      expect(foreign).toEqual(unknown);
    }
    expect(harness.hub.size).toBe(0);
    await cancel(id);
  });
});

describe('ResponseReader.remove', () => {
  it('deletes an ended response and its events but not a running one', async () => {
    const id = await running();
    await expect(harness.reader.remove(ALICE, id)).rejects.toMatchObject({ code: 'response_still_running' });
    await cancel(id);
    await harness.reader.remove(ALICE, id);
    await expect(harness.reader.retrieve(ALICE, id)).rejects.toMatchObject({ code: 'response_not_found' });
    await expect(read(id)).rejects.toMatchObject({ code: 'response_not_found' });
  });
});

describe('ResponseReader.inputItems', () => {
  it('lists input items in both orders and in pages, running or ended', async () => {
    const input = ['a', 'b', 'c'].map(userItem);
    const id = await harness.play(requestOf('', { input }));
    const list = async (query: Parameters<typeof harness.reader.inputItems>[2]): Promise<string[]> =>
      (await harness.reader.inputItems(ALICE, id, query)).data.map((item) => item.id);
    const [a = '', b = '', c = ''] = await list({ limit: 3, order: 'asc' });
    expect([a, b, c]).not.toContain('');
    expect(await list({ limit: 2, order: 'asc' })).toEqual([a, b]);
    expect(await list({ limit: 2, order: 'asc', after: b })).toEqual([c]);
    expect(await list({ limit: 2, order: 'desc' })).toEqual([c, b]);
    const { responseId } = await harness.turns.create(ALICE, requestOf('second'), ORIGIN);
    expect((await harness.reader.inputItems(ALICE, responseId, { limit: 2, order: 'asc' })).data).toHaveLength(1);
    await cancel(responseId);
  });
});
