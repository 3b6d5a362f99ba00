/*
 * One writer per conversation, also if a replica stalls between its place in the queue and its log,
 * or its items.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Conversations } from '../../../src/turn/conversations.js';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say, type ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, away, ORIGIN, requestOf, TurnHarness, userItem } from './turn-harness.js';
import { mediaCheck } from '../../support/media.js';

const PAST_LEASE_MS = 8_500;

let time: HandTime;
let slow: TurnHarness;
let quick: TurnHarness;
beforeEach(() => {
  time = new HandTime();
  slow = new TurnHarness({ time, answers: [[say('second')]] });
  quick = new TurnHarness({ time, beside: slow, answers: [[say('first'), HANG]] });
});
afterEach(async () => {
  await Promise.all([slow.turns.abortAll(away()), quick.turns.abortAll(away())]);
  await quick.close();
});

const requestsOf = (harness: TurnHarness) => (harness.provider as ScriptedProvider).requests;

/** Resolves when `holds` returns true; checks it once per round of the event loop. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate);
}

describe('a turn whose replica stalled between its place in the queue and its log', () => {
  it('waits for the turn that took its place and starts from the items of that turn [CONV-10]', async () => {
    const conversation = await slow.conversation();
    const stalled = slow.faults.hold('createWith');
    const creating = slow.turns.create(ALICE, requestOf('Late', { conversation }), ORIGIN);
    await stalled.reached;
    time.pass(PAST_LEASE_MS);
    const { responseId: running } = await quick.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    // The other turn looks at the head of the queue and finds that it never began.
    time.pass(1_000);
    await until(async () => (await quick.types(running)).includes('output_text.delta'));
    stalled.open();
    const { responseId: late } = await creating;
    await until(async () => (await slow.types(late)).includes('queued'));
    expect(await slow.types(late)).toEqual(['created', 'queued']);
    expect(requestsOf(slow)).toEqual([]);
    expect(await slow.plain.claim.members(conversation)).toEqual([running, late]);
    await quick.turns.cancel(ALICE, running);
    await quick.turns.whenIdle();
    await slow.turns.whenIdle();
    expect((await slow.types(late)).at(-1)).toBe('completed');
    expect(requestsOf(slow)[0]?.items).toHaveLength(3);
    expect(await slow.texts(conversation)).toEqual(['Hi', 'first', 'Late', 'second']);
  });

  it('refuses a stalled turn if no more turns may wait, and fails it for its viewers [CONV-10]', async () => {
    const strict = new TurnHarness({ time, beside: slow, maxWaiting: 0 });
    const conversation = await slow.conversation();
    const stalled = strict.faults.hold('createWith');
    const ids: string[] = [];
    const options = { onResponse: (id: string) => ids.push(id) };
    const creating = strict.turns.create(ALICE, requestOf('Late', { conversation }), ORIGIN, options);
    await stalled.reached;
    time.pass(PAST_LEASE_MS);
    const { responseId: running } = await quick.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    stalled.open();
    await expect(creating).rejects.toMatchObject({ code: 'conversation_busy' });
    const [id = ''] = ids;
    while ((await slow.plain.events.read(id, -1, 1))?.ended !== true) await new Promise(setImmediate);
    expect(await slow.types(id)).toEqual(['created', 'failed']);
    expect(await slow.plain.responses.get(id)).toMatchObject({ response: { error: { code: 'conversation_busy' } } });
    expect(await slow.plain.claim.members(conversation)).toEqual([running]);
  });

  it('runs at once if no other turn took its place', async () => {
    const conversation = await slow.conversation();
    const stalled = slow.faults.hold('createWith');
    const creating = slow.turns.create(ALICE, requestOf('Late', { conversation }), ORIGIN);
    await stalled.reached;
    time.pass(PAST_LEASE_MS);
    stalled.open();
    const { responseId } = await creating;
    await slow.turns.whenIdle();
    expect(await slow.types(responseId)).not.toContain('queued');
    expect((await slow.types(responseId)).at(-1)).toBe('completed');
  });
});

describe('items that are added', () => {
  const conversationsOf = (claim = slow.state.claim) =>
    new Conversations({
      store: slow.state.conversations,
      claim,
      events: slow.plain.events,
      allowInstructions: null,
      allowHistory: null,
      responses: slow.plain.responses,
      maxItemBytes: 1_000_000,
      media: mediaCheck(),
      time,
    });

  it('refuses added items if a turn took the place of their writer while its replica was stalled [CONV-14]', async () => {
    const conversation = await slow.conversation();
    const joined = Promise.withResolvers<void>();
    const proceed = Promise.withResolvers<void>();
    const { claim } = slow.plain;
    const join = claim.join.bind(claim);
    const adding = (() => {
      claim.join = async (...args) => {
        const place = await join(...args);
        joined.resolve();
        await proceed.promise;
        return place;
      };
      return conversationsOf().addItems(ALICE, conversation, [userItem('Note')]);
    })();
    await joined.promise;
    claim.join = join;
    time.pass(PAST_LEASE_MS);
    await quick.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    proceed.resolve();
    await expect(adding).rejects.toMatchObject({ code: 'conversation_busy' });
    expect(await slow.texts(conversation)).toEqual([]);
  });

  it('adds items once if the reply was lost, and releases the claim with them', async () => {
    const conversation = await slow.conversation();
    slow.faults.fail('appendItems', 1, away, true);
    let settled = false;
    const adding = conversationsOf()
      .addItems(ALICE, conversation, [userItem('Note')])
      .finally(() => (settled = true));
    void adding.catch(() => undefined);
    await until(() => {
      time.pass(50);
      return settled;
    });
    const added = await adding;
    expect(added).toHaveLength(1);
    expect(await slow.texts(conversation)).toEqual(['Note']);
    expect(await slow.plain.claim.members(conversation)).toEqual([]);
    expect(slow.faults.calls).not.toContain('leave');
  });

  it('retries the release of the claim if items could not be added [CONV-14]', async () => {
    const conversation = await slow.conversation();
    slow.faults.fail('appendItems', 1, () => new Error('corrupt'));
    slow.faults.fail('leave', 2);
    await expect(conversationsOf().addItems(ALICE, conversation, [userItem('Note')])).rejects.toThrow('corrupt');
    expect(await slow.texts(conversation)).toEqual([]);
    await until(async () => {
      time.pass(50);
      return (await slow.plain.claim.members(conversation)).length === 0;
    });
  });
});
