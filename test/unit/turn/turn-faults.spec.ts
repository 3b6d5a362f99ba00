/*
 * A turn while its state store fails, stalls or has another owner: one correct terminal event, and
 * no claim left behind.
 */

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type ResponseObject } from '../../../src/domain/response.js';
import { Provider, type ProviderPart } from '../../../src/provider/provider.js';
import { type Accounting } from '../../../src/turn/accounting.js';
import { Journal } from '../../../src/turn/journal.js';
import { Settlement } from '../../../src/turn/settlement.js';
import { HandTime } from '../../support/hand-time.js';
import { HANG, say, wait } from '../../support/scripted-provider.js';
import { ALICE, away, ORIGIN, requestOf, TurnHarness, USAGE } from './turn-harness.js';

const STREAMED = ['created', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta'];
const CLOSED = ['output_text.done', 'content_part.done', 'output_item.done'];

let harness: TurnHarness;
beforeEach(() => {
  harness = new TurnHarness();
});
afterEach(() => harness.close());

/** A turn with an idempotency key begins and is announced after its key was confirmed. */
const KEYED = { idempotency: { key: 'key', fingerprint: 'body' } };

const members = (conversation: string): Promise<readonly string[]> => harness.plain.claim.members(conversation);

describe('create while the store is away', () => {
  it('announces a turn as it begins, in the step that creates its log', async () => {
    const conversation = await harness.conversation();
    const announced: string[] = [];
    const onResponse = (id: string) => announced.push(id);
    await harness.plain.announcements.watch(conversation, onResponse, () => undefined);
    harness.faults.fail('announce', Infinity);
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    expect(announced).toEqual([responseId]);
    expect(await harness.types(responseId)).toEqual(['created', 'in_progress']);
    await harness.turns.whenIdle();
  });

  it('fails a refused turn for its watchers if the reply to its creation was lost', async () => {
    const conversation = await harness.conversation();
    const ids: string[] = [];
    harness.faults.fail('createWith', 1, away, true);
    harness.faults.fail('append', 1, away, true);
    const creating = harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN, {
      onResponse: (id) => ids.push(id),
    });
    await expect(creating).rejects.toMatchObject({ code: 'state_unavailable' });
    const [id = ''] = ids;
    while ((await harness.plain.events.read(id, -1, 1))?.ended !== true) await new Promise(setImmediate);
    expect(await harness.types(id)).toEqual(['created', 'in_progress', 'failed']);
    expect(await harness.texts(conversation)).toEqual([]);
    expect(await members(conversation)).toEqual([]);
  });

  describe('if the reply to the creation of its log was lost', () => {
    const limits = { tokensPerMinute: 10_000 };
    const time = new HandTime();
    const own = (beside?: TurnHarness) => new TurnHarness({ limits, time, ...(beside && { beside }) });
    const bucket = { key: 'limit:tokens:user:acme/alice', capacity: 10_000, refillPerSecond: 10_000 / 60 };
    const left = async ({ plain }: TurnHarness) => (await plain.limiter.take(bucket, 0)).remaining;

    /** Refuses a turn when others have reserved half of the tokens. @returns its response */
    async function refused(first: TurnHarness): Promise<string> {
      await first.plain.limiter.take(bucket, 5_000);
      const ids: string[] = [];
      const onResponse = (id: string) => void ids.push(id);
      first.faults.fail('createWith', 1, away, true);
      const creating = first.turns.create(ALICE, requestOf('Hi'), ORIGIN, { ...KEYED, onResponse });
      await expect(creating).rejects.toMatchObject({ code: 'state_unavailable' });
      return ids[0] ?? '';
    }

    it('ends the log of a refused turn that has not begun, and refunds its reservation once [LIMIT-6]', async () => {
      const first = own();
      const id = await refused(first);
      while ((await left(first)) < 5_000) await new Promise(setImmediate);
      expect(await first.types(id)).toEqual(['created', 'failed']);
      await first.plain.lease.release(id, 1);
      expect(await first.sweep.sweep()).toBe(0);
      expect(await left(first)).toBe(5_000);
      await first.close();
    });

    it('ends the log of a refused turn and refunds its reservation when the store was away for a minute [LIMIT-6]', async () => {
      const first = own();
      await first.plain.limiter.take(bucket, 5_000);
      const ids: string[] = [];
      const onResponse = (id: string) => void ids.push(id);
      for (const method of ['createWith', 'read']) first.faults.fail(method, Infinity, away, true);
      const creating = first.turns.create(ALICE, requestOf('Hi'), ORIGIN, { onResponse });
      await expect(creating).rejects.toMatchObject({ code: 'state_unavailable' });
      const pass = async (seconds: number): Promise<void> => {
        for (let i = 0; i < seconds; i++) {
          time.pass(1_000);
          await new Promise(setImmediate);
        }
      };
      await pass(60);
      first.faults.heal('read');
      await pass(2);
      // Sweeps take turns over a lease after the return of the store at the earliest.
      expect(await first.sweep.sweep()).toBe(0);
      expect(await first.types(ids[0] ?? '')).toEqual(['created', 'in_progress', 'failed']);
      expect(await first.reader.retrieve(ALICE, ids[0] ?? '')).toMatchObject({
        usage: null,
        sluice: { cost_usd: null, kept: 'nothing' },
      });
      await first.close();
    });

    it('leaves the refund to the replica that has taken over the log of a refused turn [LIMIT-6]', async () => {
      const first = own();
      const other = own(first);
      const reading = first.faults.hold('read');
      const id = await refused(first);
      await new Promise(setImmediate);
      await first.plain.lease.release(id, 1);
      expect(await other.sweep.sweep()).toBe(1);
      expect(await left(first)).toBe(5_000);
      reading.open();
      await new Promise(setImmediate);
      expect(await left(first)).toBe(5_000);
      await Promise.all([first.close(), other.close()]);
    });
  });

  it('admits a turn that cannot be announced yet, and announces it when the store is back', async () => {
    const conversation = await harness.conversation();
    const announced: string[] = [];
    await harness.plain.announcements.watch(
      conversation,
      (id) => announced.push(id),
      () => undefined,
    );
    harness.faults.fail('announce', 2);
    const request = requestOf('Hi', { conversation });
    const { responseId } = await harness.turns.create(ALICE, request, ORIGIN, KEYED);
    expect(announced).toEqual([]);
    await harness.turns.whenIdle();
    expect((await harness.types(responseId)).at(-1)).toBe('completed');
    expect(announced).toEqual([responseId]);
  });

  it('resolves with response.created while the turn continues to write', async () => {
    const own = new TurnHarness({ answers: [[say('a'), say('b'), HANG]] });
    const gate = own.faults.hold('append');
    const created = own.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await gate.reached;
    gate.open();
    const second = own.faults.hold('append');
    // The second append is in flight and stays there: the first events are in the log already.
    await created;
    second.open();
    await own.turns.abortAll(away());
    await own.close();
  });

  it('leaves the queue of its conversation when the log could not be opened', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('createWith', 1);
    await expect(harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN)).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    expect(await members(conversation)).toEqual([]);
    expect(harness.turns.count).toBe(0);
  });

  it('leaves the queue when the reply to its join was lost', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('join', 1, away, true);
    await expect(harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN)).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    expect(await members(conversation)).toEqual([]);
  });

  it('reports the cause of the refusal, not the failure to leave the queue', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('createWith', 1, () => new SluiceError('overloaded', 'unable to open the log; no room'));
    harness.faults.fail('leave', 1);
    await expect(harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN)).rejects.toMatchObject({
      code: 'overloaded',
    });
  });

  it('refuses the turn and releases the idempotency key when response.created could not be written', async () => {
    harness.faults.fail('createWith', 1);
    const use = { idempotency: { key: 'k', fingerprint: 'f' } };
    await expect(harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, use)).rejects.toMatchObject({
      code: 'state_unavailable',
    });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, use);
    await harness.turns.whenIdle();
    expect((await harness.types(responseId)).at(-1)).toBe('completed');
  });
});

describe('a turn while the store is away', () => {
  it('continues when the log is back', async () => {
    harness.faults.fail('append', 3);
    const id = await harness.play(requestOf('Hi'));
    expect((await harness.types(id)).at(-1)).toBe('completed');
  });

  it('sends nothing twice when only the reply was lost', async () => {
    harness.faults.fail('append', 2, away, true);
    const id = await harness.play(requestOf('Hi'));
    expect((await harness.types(id)).filter((type) => type === 'created')).toHaveLength(1);
    expect((await harness.types(id)).at(-1)).toBe('completed');
  });

  it('commits when the conversation store is back', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('appendItems', 2);
    harness.faults.fail('put', 2, away, true);
    const id = await harness.play(requestOf('Hi', { conversation }));
    expect((await harness.types(id)).at(-1)).toBe('completed');
    expect(await harness.texts(conversation)).toEqual(['Hi', 'Hello there']);
  });

  it('reads the context of a turn when the store is back', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('recentItems', 2);
    const id = await harness.play(requestOf('Hi', { conversation }));
    expect((await harness.types(id)).at(-1)).toBe('completed');
  });

  it('leaves the queue of a conversation when the store is back', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('appendItems', 1, () => new Error('corrupt'));
    harness.faults.fail('leave', 2);
    await harness.play(requestOf('Hi', { conversation }));
    expect(await members(conversation)).toEqual([]);
  });

  it('runs when cancels cannot be watched', async () => {
    harness.faults.hold('watchCancel');
    const id = await harness.play(requestOf('Hi'));
    expect((await harness.types(id)).at(-1)).toBe('completed');
  });

  it('fails and reports that nothing was kept when the items cannot be committed', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('appendItems', Infinity, () => new Error('corrupt'));
    const id = await harness.play(requestOf('Hi', { conversation }));
    expect(await harness.types(id)).toEqual([...STREAMED, ...CLOSED, 'failed']);
    const response = await harness.reader.retrieve(ALICE, id);
    expect(response.sluice.kept).toBe('nothing');
    expect(response.output_text).toBe('Hello there');
  });

  it('keeps the outcome of a turn and reports what the conversation holds if only the response cannot be stored [KEEP-6]', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('put', Infinity, () => new Error('too large'));
    const id = await harness.play(requestOf('Hi', { conversation }));
    expect(await harness.types(id)).toEqual([...STREAMED, ...CLOSED, 'completed']);
    expect((await harness.reader.retrieve(ALICE, id)).sluice.kept).toBe('all');
    expect(await harness.texts(conversation)).toEqual(['Hi', 'Hello there']);
    expect(await harness.metric('requests_total{status="success"}')).toBe(1);
    expect(harness.log.lines).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'response not stored' }),
    );
  });

  it('keeps the outcome of a turn and reports that nothing is kept if a response without a conversation cannot be stored [KEEP-6]', async () => {
    harness.faults.fail('put', Infinity, () => new Error('too large'));
    const id = await harness.play(requestOf('Hi'));
    expect(await harness.reader.retrieve(ALICE, id)).toMatchObject({
      status: 'completed',
      sluice: { kept: 'nothing' },
    });
  });

  it('stores the failed end if its items cannot be committed [KEEP-6]', async () => {
    const conversation = await harness.conversation();
    harness.faults.fail('appendItems', Infinity, () => new Error('corrupt'));
    const id = await harness.play(requestOf('Hi', { conversation }));
    const stored = await harness.plain.responses.get(id);
    expect(stored).toMatchObject({ response: { status: 'failed', sluice: { kept: 'nothing' } }, context: [] });
  });

  it('ends when its usage cannot be estimated or priced', async () => {
    const own = new TurnHarness({
      answers: [[say('Hi'), { type: 'error', code: 'provider_error' }]],
      accounting: {
        estimate: () => Promise.reject(new Error('no tokenizer')),
        cost: () => {
          throw new Error('no price list');
        },
      },
    });
    const id = await own.play(requestOf('Hi'));
    expect((await own.types(id)).at(-1)).toBe('failed');
    expect((await own.reader.retrieve(ALICE, id)).usage).toBeNull();
    await own.close();
  });

  it('releases the place of a turn once when a metric throws', async () => {
    const own = new TurnHarness({
      answers: [[say('Hi'), { type: 'error', code: 'provider_error' }]],
      accounting: { estimate: () => Promise.resolve({ ...USAGE, input_tokens: -1 }) },
    });
    await own.play(requestOf('Hi'));
    expect(await own.metric('turns_in_flight')).toBe(0);
    await own.close();
  });
});

describe('a turn whose provider fails while it is abandoned', () => {
  /** Plays all parts, then reacts to the abort as `leave` does. */
  class Clinging extends Provider {
    constructor(readonly leave: () => Promise<never>) {
      super();
    }

    override stream(): AsyncIterable<ProviderPart> {
      const parts: ProviderPart[] = [
        { type: 'start', provider: 'clinging', model: 'model-a' },
        { type: 'text', text: 'Hello' },
        { type: 'finish', reason: 'stop' },
      ];
      const steps = parts.values();
      const next = () => Promise.resolve(steps.next());
      return { [Symbol.asyncIterator]: () => ({ next, return: this.leave }) };
    }
  }

  it.each([
    ['an error', () => Promise.reject(new Error('unable to close the socket'))],
    [
      'a throw',
      () => {
        throw new Error('unable to close the socket');
      },
    ],
    ['silence', () => new Promise<never>(() => undefined)],
  ])('ends with the decided outcome: %s', async (_, leave) => {
    const own = new TurnHarness({ provider: new Clinging(leave) });
    const id = await own.play(requestOf('Hi'));
    expect((await own.types(id)).at(-1)).toBe('completed');
    await own.close();
  });
});

describe('a turn that fails while it is settled', () => {
  it('ends a broken turn by one terminal event of the next sweep, counts it once and leaves its conversation [EV-8]', async () => {
    await harness.close();
    harness = new TurnHarness({ answers: [[say('Hello there'), wait(1)]] });
    const settle = jest.spyOn(Settlement.prototype, 'settle').mockRejectedValueOnce(new Error('bug'));
    const conversation = await harness.conversation();
    const id = await harness.play(requestOf('Hi', { conversation }));
    settle.mockRestore();
    expect(harness.log.lines.at(-1)).toMatchObject({ level: 'error', fields: { error: 'server_error' } });
    expect(await harness.metric('turns_in_flight')).toBe(0);
    expect(await harness.sweep.sweep()).toBe(1);
    expect(await harness.types(id)).toEqual([...STREAMED, ...CLOSED, 'failed']);
    expect(await harness.texts(conversation)).toEqual(['Hi', 'Hello there']);
    expect(await members(conversation)).toEqual([]);
    expect(await harness.metric('requests_total{status="error"}')).toBe(1);
    await harness.play(requestOf('Again', { conversation }));
  });

  it('receives the stored end if it fails after the commit [EV-13]', async () => {
    const end = jest.spyOn(Journal.prototype, 'end').mockImplementation(async (_terminal, stored) => {
      if (stored !== undefined) await harness.plain.responses.put(stored);
      throw new Error('bug');
    });
    const id = await harness.play(requestOf('Hi'));
    end.mockRestore();
    expect((await harness.types(id)).at(-1)).not.toBe('completed');
    await harness.sweep.sweep();
    expect((await harness.types(id)).at(-1)).toBe('completed');
  });
});

describe('a turn whose end another replica stored first', () => {
  it('reports that end to its viewers, in the metrics and in the log [EV-13]', async () => {
    const conversation = await harness.conversation();
    const gate = harness.faults.hold('put');
    const { responseId: id } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    await gate.reached;
    const running = await harness.reader.retrieve(ALICE, id);
    const first: ResponseObject = {
      ...running,
      status: 'failed',
      error: { code: 'replica_lost', message: 'the first end' },
      sluice: { ...running.sluice, kept: 'all' },
    };
    await harness.plain.responses.put({
      owner: ALICE.owner,
      response: first,
      input: [],
      context: [],
      terminalSequence: 9,
    });
    gate.open();
    await harness.turns.whenIdle();
    expect((await harness.events(id)).at(-1)).toMatchObject({ type: 'response.failed', response: first });
    expect(await harness.reader.retrieve(ALICE, id)).toEqual(first);
    expect(await harness.metric('requests_total{status="error"}')).toBe(1);
    expect(await harness.metric('requests_total{status="success"}')).toBe(0);
    expect(harness.log.lines.at(-1)).toMatchObject({ message: 'request failed', fields: { error: 'replica_lost' } });
  });

  it('stays deleted if it was ended and deleted while this replica was stalled [EV-13]', async () => {
    const gate = harness.faults.hold('put');
    const { responseId: id } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await gate.reached;
    await harness.plain.responses.delete(id);
    await harness.plain.events.delete(id);
    gate.open();
    await harness.turns.whenIdle();
    expect(await harness.plain.responses.get(id)).toBeUndefined();
    await expect(harness.reader.retrieve(ALICE, id)).rejects.toMatchObject({ code: 'response_not_found' });
  });
});

describe('a turn that another replica has taken over', () => {
  async function takenOver(conversation?: string): Promise<string> {
    const gate = harness.faults.hold('put');
    const request = requestOf('Hi', conversation === undefined ? {} : { conversation });
    const { responseId } = await harness.turns.create(ALICE, request, ORIGIN);
    await gate.reached;
    gate.open();
    return responseId;
  }

  it('commits nothing once it is fenced', async () => {
    await harness.close();
    harness = new TurnHarness({ answers: [[say('Hello there'), wait(1)]] });
    const conversation = await harness.conversation();
    // The last append before the commit is refused: the answer is complete, but this replica no
    // longer owns it.
    harness.faults.fail('append', 0);
    const original = harness.plain.events.append.bind(harness.plain.events);
    let appends = 0;
    harness.plain.events.append = (id, fence, events) =>
      events.some(({ type }) => type === 'response.output_item.done')
        ? Promise.resolve({ outcome: 'fenced' })
        : (appends++, original(id, fence, events));
    const id = await harness.play(requestOf('Hi', { conversation }));
    expect(appends).toBeGreaterThan(0);
    expect(harness.faults.calls).not.toContain('appendItems');
    expect(harness.faults.calls).not.toContain('put');
    expect((await harness.types(id)).at(-1)).toBe('output_text.delta');
    // The replica that reports the end counts the turn.
    expect(await harness.metric('requests_total{status="success"}')).toBe(0);
    expect(await harness.metric('requests_total{status="error"}')).toBe(0);
    expect(await harness.metric('fenced_writes_total')).toBe(1);
    expect(await harness.metric('turns_in_flight')).toBe(0);
  });

  it('counts a turn that another replica has taken over once as fenced, and no turn that ended normally', async () => {
    await harness.play(requestOf('Hi'));
    expect(await harness.metric('fenced_writes_total')).toBe(0);
    harness.plain.events.append = () => Promise.resolve({ outcome: 'fenced' });
    harness.plain.lease.renew = () => Promise.resolve({ held: false, cancelRequested: false });
    // The log is created by an append of its own.
    harness.plain.events.createWith = async (head) => ({
      fence: await harness.plain.events.create(head),
      begun: false,
    });
    await harness.play(requestOf('Hi'));
    expect(await harness.metric('fenced_writes_total')).toBe(1);
  });

  it('does not log an end that a fenced turn could not write', async () => {
    const original = harness.plain.events.append.bind(harness.plain.events);
    harness.plain.events.append = (id, fence, events) =>
      events.some(({ type }) => type === 'response.completed')
        ? Promise.resolve({ outcome: 'fenced' })
        : original(id, fence, events);
    await harness.play(requestOf('Hi'));
    expect(await harness.metric('requests_total{status="success"}')).toBe(0);
    expect(harness.log.lines.at(-1)).toMatchObject({ level: 'error', message: 'request failed' });
  });

  it('leaves the conversation to the replica that ends the turn, unless its items were committed', async () => {
    const conversation = await harness.conversation();
    const original = harness.plain.events.append.bind(harness.plain.events);
    harness.plain.events.append = (id, fence, events) =>
      events.some(({ type }) => type === 'response.output_item.done')
        ? Promise.resolve({ outcome: 'fenced' })
        : original(id, fence, events);
    const id = await harness.play(requestOf('Hi', { conversation }));
    expect(await members(conversation)).toEqual([id]);
  });

  it('leaves the conversation itself when its log is gone, because no other replica will end the turn', async () => {
    const conversation = await harness.conversation();
    const gate = harness.faults.hold('append');
    const created = harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN);
    await gate.reached;
    const [id] = await members(conversation);
    await harness.plain.events.delete(id ?? '');
    gate.open();
    await created;
    await harness.turns.whenIdle();
    expect(await members(conversation)).toEqual([]);
    expect(await harness.metric('requests_total{status="error"}')).toBe(1);
  });

  it("does not treat the end of a turn's own lease as a loss", async () => {
    const id = await takenOver();
    await harness.turns.whenIdle();
    expect((await harness.types(id)).at(-1)).toBe('completed');
    expect(await harness.metric('requests_total{status="success"}')).toBe(1);
  });

  it('logs why it could not continue', async () => {
    const why = new Error('the disk is full');
    const original = harness.plain.events.append.bind(harness.plain.events);
    harness.plain.events.append = (id, fence, events) =>
      events.some(({ type }) => type === 'response.completed') ? Promise.reject(why) : original(id, fence, events);
    await harness.play(requestOf('Hi'));
    const line = harness.log.lines.at(-1);
    expect(line).toMatchObject({ message: 'request failed', fields: { error: 'state_unavailable' } });
    expect((line?.fields['err'] as Error).cause).toBe(why);
  });
});

describe('a drain', () => {
  it('waits for turns that are being created', async () => {
    const gate = harness.faults.hold('createWith');
    const created = harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await gate.reached;
    harness.drain.startDraining();
    let idle = false;
    const whenIdle = harness.turns.whenIdle().then(() => (idle = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(idle).toBe(false);
    gate.open();
    const { responseId } = await created;
    await whenIdle;
    expect((await harness.types(responseId)).at(-1)).toBe('completed');
  });

  it('refuses a request that was admitted before the drain and has no response yet', async () => {
    const conversation = await harness.conversation();
    const gate = harness.faults.hold('claim');
    const idempotency = { key: 'key', fingerprint: 'body' };
    const created = harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN, { idempotency });
    await gate.reached;
    harness.drain.startDraining();
    gate.open();
    await expect(created).rejects.toMatchObject({ code: 'draining' });
    expect(await members(conversation)).toEqual([]);
  });

  it('gives up the lease of a turn that does not end in time, so that another replica ends it at once', async () => {
    const time = new HandTime();
    const own = new TurnHarness({ time, answers: [[say('Hi'), HANG]] });
    const other = new TurnHarness({ time, beside: own });
    const gate = own.faults.hold('put');
    const { responseId } = await own.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    const ended = own.turns.abortAll(new SluiceError('replica_lost', 'unable to finish; going away'));
    await gate.reached;
    expect(await other.sweep.sweep()).toBe(0);
    time.pass(1_500);
    await ended;
    expect(await other.sweep.sweep()).toBe(1);
    gate.open();
    await own.turns.whenIdle();
    expect((await own.types(responseId)).filter((type) => /completed|incomplete|failed/u.test(type))).toEqual([
      'failed',
    ]);
    await other.close();
  });

  it('bounds the exact count of tokens for a turn that a drain ends, and not for one that is cancelled', async () => {
    const bounds: (number | undefined)[] = [];
    const own = new TurnHarness({
      answers: [[say('Hi'), HANG]],
      accounting: {
        estimate: (...[, , , withinMs]: Parameters<Accounting['estimate']>) => {
          bounds.push(withinMs);
          return Promise.resolve(USAGE);
        },
      },
    });
    const cancelled = await own.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    while (!(await own.types(cancelled.responseId)).includes('output_text.delta')) await new Promise(setImmediate);
    await own.turns.cancel(ALICE, cancelled.responseId);
    await own.turns.whenIdle();
    const drained = await own.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    while (!(await own.types(drained.responseId)).includes('output_text.delta')) await new Promise(setImmediate);
    await own.turns.abortAll(new SluiceError('replica_lost', 'unable to finish; going away'));
    expect(bounds).toEqual([undefined, expect.any(Number)]);
    // Less than abortAll() waits for the terminal events.
    expect(bounds[1]).toBeLessThan(1_000);
    await own.close();
  });

  it('ends turns that are created while all turns are ended', async () => {
    const own = new TurnHarness({ answers: [[HANG]] });
    const gate = own.faults.hold('createWith');
    const created = own.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await gate.reached;
    const ended = own.turns.abortAll(new SluiceError('replica_lost', 'unable to finish; going away'));
    gate.open();
    const { responseId } = await created;
    await ended;
    expect((await own.types(responseId)).at(-1)).toBe('failed');
    await own.close();
  });
});
