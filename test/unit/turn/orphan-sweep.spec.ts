/*
 * Two replicas over one state and a manual clock: turns of a lost replica are ended by the other
 * one, and its conversations continue.
 */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { serialize } from '../../../src/domain/event.js';
import { systemTime } from '../../../src/domain/time.js';
import { newResponse } from '../../../src/turn/turn.js';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, away, ORIGIN, POLICY, requestOf, TurnHarness, userItem } from './turn-harness.js';

const LEASE_MS = 8_000;
/** A turn with an idempotency key begins and is announced after its key was confirmed. */
const KEYED = { idempotency: { key: 'key', fingerprint: 'body' } };

let now: number;
let lost: TurnHarness;
let other: TurnHarness;
beforeEach(() => {
  now = 1_000_000;
  lost = new TurnHarness({ answers: [[say('Half an'), HANG]], time: { ...systemTime, now: () => now } });
  other = new TurnHarness({ beside: lost });
});
afterEach(async () => {
  lost.plain.events.append = () => Promise.resolve({ outcome: 'fenced' });
  await lost.turns.abortAll(away());
  await other.close();
});

/** Starts a turn on the replica that will be lost and waits for its first delta. */
async function start(fields: Parameters<typeof requestOf>[1] = {}): Promise<string> {
  const { responseId } = await lost.turns.create(ALICE, requestOf('Hi', fields), ORIGIN);
  while (!(await lost.types(responseId)).includes('output_text.delta')) await new Promise(setImmediate);
  return responseId;
}

const CLOSED = ['output_text.done', 'content_part.done', 'output_item.done'];

describe('OrphanSweep', () => {
  it('counts the end of a turn once when the reply to its terminal was lost', async () => {
    const id = await start();
    now += LEASE_MS;
    other.faults.fail('append', 1, away, true);
    expect(await other.sweep.sweep()).toBe(1);
    expect((await other.types(id)).at(-1)).toBe('failed');
    expect(await other.metric('orphans_ended_total')).toBe(1);
  });

  it('ignores a turn whose lease has not expired', async () => {
    const id = await start();
    now += LEASE_MS - 1;
    expect(await other.sweep.sweep()).toBe(0);
    expect((await other.types(id)).at(-1)).toBe('output_text.delta');
  });

  it('closes open parts, reports the end, keeps the partial text and unblocks the conversation', async () => {
    const conversation = await lost.conversation();
    const id = await start({ conversation });
    now += LEASE_MS;
    expect(await other.sweep.sweep()).toBe(1);
    expect((await other.types(id)).slice(-4)).toEqual([...CLOSED, 'failed']);
    const response = await other.reader.retrieve(ALICE, id);
    expect(response).toMatchObject({
      status: 'failed',
      error: { code: 'replica_lost' },
      output_text: 'Half an',
      sluice: { kept: 'partial' },
      output: [{ status: 'incomplete' }],
    });
    expect(await other.texts(conversation)).toEqual(['Hi', 'Half an']);
    expect(await other.plain.claim.members(conversation)).toEqual([]);
    expect(await other.sweep.sweep()).toBe(0);
    expect(await other.metric('orphans_ended_total')).toBe(1);
  });

  it('counts each turn once, by its outcome, on the replica that reported its end [OPS-3]', async () => {
    await start();
    now += LEASE_MS;
    await other.sweep.sweep();
    await lost.turns.abortAll(away());
    expect(await other.metric('requests_total{status="error"}')).toBe(1);
    expect(await lost.metric('requests_total{status="error"}')).toBe(0);
    expect(await lost.metric('fenced_writes_total')).toBe(1);
  });

  it('announces a turn to watchers of its conversation when its lost replica did not', async () => {
    const conversation = await lost.conversation();
    const announced: string[] = [];
    await other.plain.announcements.watch(
      conversation,
      (id) => announced.push(id),
      () => undefined,
    );
    lost.faults.fail('announce');
    const { responseId: id } = await lost.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN, KEYED);
    expect(announced).toEqual([]);
    now += LEASE_MS;
    await other.sweep.sweep();
    expect(announced).toEqual([id]);
  });

  it('fences the former owner', async () => {
    const id = await start();
    now += LEASE_MS;
    await other.sweep.sweep();
    await lost.turns.abortAll(away());
    expect((await other.types(id)).filter((type) => /completed|incomplete|failed/u.test(type))).toEqual(['failed']);
    expect(await lost.metric('turns_in_flight')).toBe(0);
  });

  it('repeats the terminal of a turn that was committed but not reported', async () => {
    const done = new TurnHarness({ beside: lost });
    const original = lost.plain.events.append.bind(lost.plain.events);
    lost.plain.events.append = (id, fence, events) =>
      events.some(({ type }) => type === 'response.completed')
        ? Promise.reject(new Error('killed'))
        : original(id, fence, events);
    const conversation = await lost.conversation();
    const id = await done.play(requestOf('Hi', { conversation }));
    lost.plain.events.append = original;
    now += LEASE_MS;
    await other.sweep.sweep();
    expect((await other.types(id)).at(-1)).toBe('completed');
    expect(await other.metric('requests_total{status="success"}')).toBe(1);
    expect(await other.metric('llm_cost_usd{model="model-a"}')).toBe(0.5);
    expect(await done.metric('requests_total{status="error"}')).toBe(0);
    expect(await other.texts(conversation)).toEqual(['Hi', 'Hello there']);
    expect(await other.plain.claim.members(conversation)).toEqual([]);
  });

  it('keeps the stored end when the former owner stores its own later [EV-13]', async () => {
    const late = new TurnHarness({ beside: lost });
    const gate = late.faults.hold('put');
    const { responseId: id } = await late.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await gate.reached;
    now += LEASE_MS;
    await other.sweep.sweep();
    gate.open();
    await late.turns.whenIdle();
    expect(await other.reader.retrieve(ALICE, id)).toMatchObject({ status: 'failed', error: { code: 'replica_lost' } });
    expect((await other.types(id)).at(-1)).toBe('failed');
  });

  it('repeats the end that the former owner stores between the look and the commit [EV-13]', async () => {
    const late = new TurnHarness({ beside: lost });
    const held = late.faults.hold('put');
    const { responseId: id } = await late.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await held.reached;
    now += LEASE_MS;
    const gate = other.faults.hold('put');
    const sweeping = other.sweep.sweep();
    await gate.reached;
    held.open();
    await late.turns.whenIdle();
    gate.open();
    await sweeping;
    expect((await other.types(id)).at(-1)).toBe('completed');
    expect((await other.reader.retrieve(ALICE, id)).status).toBe('completed');
    expect(await other.metric('requests_total{status="success"}')).toBe(1);
    expect(await late.metric('requests_total{status="success"}')).toBe(0);
  });

  it('stores nothing of a turn that was still waiting for its conversation', async () => {
    const conversation = await lost.conversation();
    const first = await start({ conversation });
    const { responseId: second } = await lost.turns.create(ALICE, requestOf('Again', { conversation }), ORIGIN);
    now += LEASE_MS;
    expect(await other.sweep.sweep()).toBe(2);
    expect(await other.types(second)).toEqual(['created', 'queued', 'failed']);
    expect((await other.reader.retrieve(ALICE, second)).sluice.kept).toBe('nothing');
    expect((await other.reader.retrieve(ALICE, first)).sluice.kept).toBe('partial');
    expect(await other.texts(conversation)).toEqual(['Hi', 'Half an']);
    expect(await other.plain.claim.members(conversation)).toEqual([]);
  });

  it('stores refused input for people only', async () => {
    const guarded = new TurnHarness({
      beside: lost,
      guardrails: [{ type: 'banned_words', enabled: true, params: { words: ['pirate'] } }],
    });
    const conversation = await lost.conversation();
    guarded.faults.fail('appendItems');
    const { responseId } = await guarded.turns.create(ALICE, requestOf('pirate', { conversation }), ORIGIN);
    while (!guarded.faults.calls.includes('appendItems')) await new Promise(setImmediate);
    now += LEASE_MS;
    await other.sweep.sweep();
    expect((await other.reader.retrieve(ALICE, responseId)).sluice.kept).toBe('display_only');
    const texts = await other.texts(conversation);
    expect(texts[0]).toBe('[pirate]');
    expect(texts).toHaveLength(2);
    expect(texts[1]).toMatch(/^\[.+\]$/u);
    guarded.faults.heal('appendItems');
    await guarded.turns.whenIdle();
  });

  it('reports the end to an existing follower when the replica was lost before its next event', async () => {
    const conversation = await lost.conversation();
    const gate = lost.faults.hold('append');
    const { responseId: id } = await lost.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN, KEYED);
    await gate.reached;
    const waiting = other.reader.settled(ALICE, id, new AbortController().signal);
    now += LEASE_MS;
    await other.sweep.sweep();
    gate.open();
    expect(await waiting).toMatchObject({
      status: 'failed',
      error: { code: 'replica_lost' },
      sluice: { kept: 'nothing' },
    });
    expect(await other.types(id)).toEqual(['created', 'failed']);
    await lost.turns.whenIdle();
    expect(await other.types(id)).toEqual(['created', 'failed']);
    expect(await other.plain.claim.members(conversation)).toEqual([]);
  });

  it('unblocks the conversation of a log without events', async () => {
    const conversation = await lost.conversation();
    await lost.plain.claim.join(conversation, 'resp_dead', 8);
    const head = { responseId: 'resp_dead', owner: ALICE.owner, conversationId: conversation, store: true, input: [] };
    await lost.plain.events.create(head);
    now += LEASE_MS;
    await other.sweep.sweep();
    expect(await other.plain.events.read('resp_dead', -1, 1)).toBeUndefined();
    expect(await other.plain.claim.members(conversation)).toEqual([]);
  });

  it('ends the other turns when one cannot be ended', async () => {
    const ids = [await start(), await start(), await start()];
    now += LEASE_MS;
    other.faults.fail('put', 1, () => new Error('corrupt'));
    await other.sweep.sweep();
    const ends = await Promise.all(ids.map(async (id) => (await other.types(id)).at(-1)));
    expect(ends.filter((type) => type === 'failed')).toHaveLength(2);
    expect(other.log.lines).toContainEqual(expect.objectContaining({ level: 'error' }));
    // Its lease expires again, and the next sweep retries it.
    now += LEASE_MS;
    await other.sweep.sweep();
    const again = await Promise.all(ids.map(async (id) => (await other.types(id)).at(-1)));
    expect(again).toEqual(['failed', 'failed', 'failed']);
  });

  it('reports and stores nothing when another replica has taken over meanwhile', async () => {
    const conversation = await lost.conversation();
    const id = await start({ conversation });
    now += LEASE_MS;
    const gate = other.faults.hold('put');
    const sweeping = other.sweep.sweep();
    await gate.reached;
    now += LEASE_MS;
    const third = new TurnHarness({ beside: lost });
    await third.plain.lease.adoptExpired(1);
    gate.open();
    await sweeping;
    expect((await other.types(id)).at(-1)).toBe('output_text.delta');
    // The place was released with the commit.
    expect(await other.plain.claim.members(conversation)).toEqual([]);
    expect(other.log.lines).toEqual([]);
  });

  it('commits to the conversation without a stored response when store was false', async () => {
    const conversation = await lost.conversation([userItem('Before')]);
    const id = await start({ conversation, store: false });
    now += LEASE_MS;
    await other.sweep.sweep();
    expect(await other.texts(conversation)).toEqual(['Before', 'Hi', 'Half an']);
    expect(await other.plain.responses.get(id)).toBeUndefined();
    expect((await other.types(id)).at(-1)).toBe('failed');
  });

  it('gives turns one round to renew their leases after this process was stalled', async () => {
    const time = new HandTime();
    const alone = new TurnHarness({ time, answers: [[say('Half an'), HANG]] });
    const { responseId } = await alone.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    alone.sweep.start(1_000);
    time.stall(20_000);
    time.pass(0);
    await new Promise(setImmediate);
    time.pass(5_000);
    await alone.sweep.stop();
    expect((await alone.types(responseId)).at(-1)).not.toBe('failed');
    await alone.turns.abortAll(away());
    await alone.close();
  });

  it('starts no second sweep while one runs, and waits for it on stop', async () => {
    await start();
    now += LEASE_MS;
    const gate = other.faults.hold('adoptExpired');
    other.sweep.start(1);
    await gate.reached;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(other.faults.calls.filter((call) => call === 'adoptExpired')).toHaveLength(1);
    let stopped = false;
    const stopping = other.sweep.stop().then(() => (stopped = true));
    await new Promise(setImmediate);
    expect(stopped).toBe(false);
    gate.open();
    await stopping;
  });

  it('numbers a repeated terminal after the events in the log', async () => {
    const plan = {
      caller: ALICE,
      request: requestOf('Hi'),
      source: { kind: 'none' },
      prompt: null,
      system: '',
      model: POLICY.model,
      maxOutputTokens: null,
      temperature: null,
      topP: null,
      showReasoning: true,
    } as const;
    const response = newResponse(plan, systemTime);
    const head = { responseId: response.id, owner: ALICE.owner, conversationId: null, store: true, input: [] };
    const fence = await lost.plain.events.create(head);
    await lost.plain.events.append(response.id, fence, [serialize({ type: 'response.created', response }, 0)]);
    now += LEASE_MS;
    await other.sweep.sweep();
    expect(await other.types(response.id)).toEqual(['created', 'failed']);
    expect((await other.plain.responses.get(response.id))?.terminalSequence).toBe(1);
  });

  it('stores the end of a lost turn whose log has a hole, removes the log and unblocks the conversation', async () => {
    const conversation = await lost.conversation();
    const id = await start({ conversation });
    now += LEASE_MS;
    const { events: log } = other.plain;
    const read = log.read.bind(log);
    const first = (await read(id, -1, 100))?.events.findIndex(({ type }) => type === 'response.output_text.delta') ?? 0;
    // Reads the log as a store that lost the first delta.
    log.read = (responseId, after, limit) =>
      after < first && after + limit >= first ? Promise.resolve(undefined) : read(responseId, after, limit);
    expect(await other.sweep.sweep()).toBe(1);
    expect(await other.sweep.sweep()).toBe(0);
    expect(await read(id, -1, 0)).toBeUndefined();
    expect(await other.reader.retrieve(ALICE, id)).toMatchObject({ status: 'failed', error: { code: 'replica_lost' } });
    expect(await other.plain.claim.members(conversation)).toEqual([]);
    expect(await other.texts(conversation)).toEqual(['Hi']);
  });
});
