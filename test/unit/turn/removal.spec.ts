/*
 * What is deleted while a turn ends stays deleted, viewers receive an end, and the end reports
 * correctly what was kept.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { isTerminal } from '../../../src/domain/event.js';
import { systemTime } from '../../../src/domain/time.js';
import { Conversations } from '../../../src/turn/conversations.js';
import { ResponseReader } from '../../../src/turn/response-reader.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf, TurnHarness, userItem } from './turn-harness.js';
import { mediaCheck } from '../../support/media.js';

const LEASE_MS = 8_000;
const never = new AbortController().signal;

let now: number;
let harness: TurnHarness;
beforeEach(() => {
  now = 1_000_000;
  harness = new TurnHarness({ time: { ...systemTime, now: () => now } });
});
afterEach(() => harness.close());

const conversations = (): Conversations =>
  new Conversations({
    store: harness.plain.conversations,
    claim: harness.plain.claim,
    events: harness.plain.events,
    allowInstructions: null,
    allowHistory: null,
    responses: harness.plain.responses,
    maxItemBytes: 1_000_000,
    media: mediaCheck(),
  });

/** A turn that has committed and has not written its terminal yet. */
async function committed(): Promise<{ id: string; conversation: string; tellEnd: () => void }> {
  const conversation = await harness.conversation();
  const { events } = harness.plain;
  const append = events.append.bind(events);
  const reached = Promise.withResolvers<void>();
  const proceed = Promise.withResolvers<void>();
  events.append = async (responseId, fence, more) => {
    if (isTerminal(more.at(-1)?.type ?? 'response.created')) {
      reached.resolve();
      await proceed.promise;
    }
    return append(responseId, fence, more);
  };
  const { responseId: id } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
  await reached.promise;
  return { id, conversation, tellEnd: () => proceed.resolve() };
}

describe('a response deleted between its commit and its terminal', () => {
  it('deletes a response between its commit and its terminal once its viewers received the end, and keeps it deleted', async () => {
    const { id, tellEnd } = await committed();
    expect((await harness.reader.retrieve(ALICE, id)).status).toBe('completed');
    const viewer = harness.reader.settled(ALICE, id, never);
    const removing = harness.reader.remove(ALICE, id);
    tellEnd();
    await removing;
    await harness.turns.whenIdle();
    expect((await viewer).status).toBe('completed');
    expect(await harness.plain.events.read(id, -1, 1)).toBeUndefined();
    expect(await harness.plain.responses.get(id)).toBeUndefined();
    expect(await harness.metric('requests_total{status="success"}')).toBe(1);
  });

  it('reports a response as running while its end is not written', async () => {
    const { id, tellEnd } = await committed();
    const impatient = new ResponseReader(harness.plain.events, harness.hub, harness.plain.responses, {
      terminalWithinMs: 5,
    });
    await expect(impatient.remove(ALICE, id)).rejects.toMatchObject({ code: 'response_still_running' });
    tellEnd();
    await harness.turns.whenIdle();
    await impatient.remove(ALICE, id);
    await expect(harness.reader.retrieve(ALICE, id)).rejects.toMatchObject({ code: 'response_not_found' });
  });

  it('reports a deleted response as not found to a viewer that had not read to its end', async () => {
    const id = await harness.play(requestOf('Hi'));
    const viewer = await harness.reader.open(ALICE, id, -1, () => undefined);
    await harness.reader.remove(ALICE, id);
    // Events that are already buffered may still be sent. Then the stream ends either way.
    let ended = false;
    while (viewer.state === 'following') {
      ended ||= viewer.take(64).some(({ type }) => isTerminal(type));
      await new Promise(setImmediate);
    }
    expect(viewer.state).toBe(ended ? 'ended' : 'lost');
    viewer.close();
  });
});

describe('a conversation deleted while a turn runs in it', () => {
  async function deletedMidway(
    store: boolean,
    beforehand: () => void = () => undefined,
    responses: 'delete' | 'keep' = 'keep',
  ): Promise<string> {
    harness = new TurnHarness({ answers: [[say('Half'), HANG]], time: { ...systemTime, now: () => now } });
    const conversation = await harness.conversation([userItem('Before')]);
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', { conversation, store }), ORIGIN);
    while (!(await harness.types(responseId)).includes('output_text.delta')) await new Promise(setImmediate);
    beforehand();
    await conversations().remove(ALICE, conversation, responses);
    return responseId;
  }

  it.each([true, false])('keeps nothing of the turn, reports that, and ends it (store: %s)', async (store) => {
    const id = await deletedMidway(store);
    await harness.turns.whenIdle();
    const response = await harness.reader.retrieve(ALICE, id);
    expect(response).toMatchObject({ status: 'cancelled', output_text: 'Half', sluice: { kept: 'nothing' } });
    expect((await harness.events(id)).at(-1)).toMatchObject({ response: { sluice: { kept: 'nothing' } } });
    const stored = await harness.plain.responses.get(id);
    expect(stored?.response.sluice.kept).toBe(store ? 'nothing' : undefined);
    // The context that the turn had read is deleted too: the response has no copy.
    expect(stored?.context).toEqual(store ? [] : undefined);
    expect(await harness.plain.conversations.get(response.conversation?.id ?? '')).toBeUndefined();
  });

  it('does not store the response of a turn in a deleted conversation, whose viewers get its end, unless responses are kept [CONV-15]', async () => {
    const id = await deletedMidway(true, undefined, 'delete');
    await harness.turns.whenIdle();
    expect((await harness.events(id)).at(-1)).toMatchObject({ response: { status: 'cancelled' } });
    expect(await harness.plain.responses.get(id)).toBeUndefined();
  });

  it.each(['delete', 'keep'] as const)(
    'cancels a turn that has its place in the conversation and no log yet (responses: %s) [CONV-15]',
    async (responses) => {
      harness = new TurnHarness({ answers: [[say('Half'), HANG]] });
      const conversation = await harness.conversation();
      const creation = harness.faults.hold('createWith');
      const created = harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
      await creation.reached;
      const removed = conversations().remove(ALICE, conversation, responses);
      while ((await harness.plain.conversations.get(conversation)) !== undefined) await new Promise(setImmediate);
      for (let i = 0; i < 10; i++) await new Promise(setImmediate);
      creation.open();
      const { responseId } = await created;
      await Promise.all([removed, harness.turns.whenIdle()]);
      expect((await harness.events(responseId)).at(-1)).toMatchObject({
        response: { status: 'cancelled', sluice: { kept: 'nothing' } },
      });
      expect((await harness.plain.responses.get(responseId))?.response.status).toBe(
        responses === 'keep' ? 'cancelled' : undefined,
      );
    },
  );

  it('keeps nothing of a turn that another replica ends', async () => {
    const gone = (): Error => new Error('this replica is gone');
    const id = await deletedMidway(true, () => harness.faults.fail('append', Infinity, gone));
    now += LEASE_MS;
    const other = new TurnHarness({ beside: harness });
    await other.sweep.sweep();
    expect((await other.reader.retrieve(ALICE, id)).sluice.kept).toBe('nothing');
    expect((await other.events(id)).at(-1)).toMatchObject({ response: { sluice: { kept: 'nothing' } } });
    await harness.turns.whenIdle();
  });
});

it('stays deleted between commit and terminal, and the end reports what was true at the commit', async () => {
  const { id, conversation, tellEnd } = await committed();
  await conversations().remove(ALICE, conversation);
  tellEnd();
  await harness.turns.whenIdle();
  expect((await harness.types(id)).at(-1)).toBe('completed');
  expect((await harness.reader.retrieve(ALICE, id)).sluice.kept).toBe('all');
  expect(await harness.plain.conversations.get(conversation)).toBeUndefined();
  expect(await harness.texts(conversation)).toEqual([]);
});
