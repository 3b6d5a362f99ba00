/* One turn from its request to its terminal event: the whole list of events for every outcome. */

import { afterEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type ResponseEvent } from '../../../src/domain/event.js';
import { type FunctionCallOutputItem } from '../../../src/domain/item.js';
import { type ResponseRequest } from '../../../src/domain/request.js';
import { Provider, type ProviderPart } from '../../../src/provider/provider.js';
import { type DemoStep } from '../../../src/provider/demo/demo-script.js';
import { fail, HANG, say, ScriptedProvider, wait } from '../../support/scripted-provider.js';
import { ALICE, BOB, type HarnessOptions, ORIGIN, requestOf, TurnHarness, USAGE } from './turn-harness.js';

let harness: TurnHarness;
afterEach(() => harness.close());

function play(request: ResponseRequest, options: HarnessOptions): Promise<string> {
  harness = new TurnHarness(options);
  return harness.play(request);
}

/** Yields parts unchanged, including ones that a scripted provider cannot produce. */
class PartsProvider extends Provider {
  readonly #parts: readonly ProviderPart[];
  constructor(parts: readonly ProviderPart[]) {
    super();
    this.#parts = parts;
  }
  override async *stream(): AsyncGenerator<ProviderPart> {
    await Promise.resolve();
    yield* this.#parts;
  }
}

const START: ProviderPart = { type: 'start', provider: 'parts', model: 'model-a' };

/** An event in a few words, for readable expectations. */
function brief(event: ResponseEvent): string {
  const type = event.type.replace('response.', '');
  if ('delta' in event) return `${type} ${event.delta}`;
  if (event.type === 'response.output_text.done') return `${type} ${event.text}`;
  if (event.type === 'response.reasoning_text.done') return `${type} ${event.text}`;
  if (event.type === 'response.refusal.done') return `${type} ${event.refusal}`;
  if (event.type === 'response.function_call_arguments.done') return `${type} ${event.arguments}`;
  if ('item' in event) return `${type} ${event.item.type} ${event.item.status}`;
  if ('part' in event) return `${type} ${event.part.type}`;
  if (event.type === 'response.reasoning_summary_text.done') return `${type} ${event.text}`;
  return `${type} ${event.response.status}`;
}

const briefs = async (id: string): Promise<string[]> => (await harness.events(id)).map(brief);

const BEGUN = ['created in_progress', 'in_progress in_progress'];
const MESSAGE = ['output_item.added message in_progress', 'content_part.added output_text'];
const messageEnd = (text: string, status: string): string[] => [
  `output_text.done ${text}`,
  'content_part.done output_text',
  `output_item.done message ${status}`,
];
const refusal = (text: string, status: string): string[] => [
  'content_part.added refusal',
  `refusal.delta ${text}`,
  `refusal.done ${text}`,
  'content_part.done refusal',
  `output_item.done message ${status}`,
];

const BANNED = { type: 'banned_words', enabled: true, params: { words: ['pirate'] }, message: 'Not that.' };

describe('the events of a turn', () => {
  it('streams an answer', async () => {
    const id = await play(requestOf('Hi'), { answers: [[say('Hello'), wait(1), say(' there')]] });
    expect(await briefs(id)).toEqual([
      ...BEGUN,
      ...MESSAGE,
      'output_text.delta Hello',
      'output_text.delta  there',
      ...messageEnd('Hello there', 'completed'),
      'completed completed',
    ]);
    expect(await harness.reader.retrieve(ALICE, id)).toMatchObject({
      status: 'completed',
      output_text: 'Hello there',
      usage: { output_tokens: 2 },
      model: 'model-a',
      sluice: { provider: 'scripted', kept: 'all', cost_usd: 0.5, usage_estimated: false },
    });
  });

  it('completes without text when the provider sends none', async () => {
    const id = await play(requestOf('Hi'), { answers: [[]] });
    expect(await briefs(id)).toEqual([...BEGUN, 'completed completed']);
    expect((await harness.reader.retrieve(ALICE, id)).sluice.kept).toBe('input');
  });

  it('writes response.queued first for a request in the background', async () => {
    const id = await play(requestOf('Hi', { background: true }), {});
    expect((await briefs(id)).slice(0, 2)).toEqual(['created queued', 'in_progress in_progress']);
  });

  it('refuses input that a guardrail denies and never calls the provider', async () => {
    const provider = new ScriptedProvider([[say('no')]]);
    const id = await play(requestOf('a pirate'), { provider, guardrails: [BANNED] });
    expect(await briefs(id)).toEqual([
      ...BEGUN,
      'output_item.added message in_progress',
      ...refusal('Not that.', 'completed'),
      'completed completed',
    ]);
    expect(provider.requests).toEqual([]);
    expect(await harness.reader.retrieve(ALICE, id)).toMatchObject({
      usage: { total_tokens: 0 },
      output_text: '',
      sluice: {
        provider: null,
        kept: 'display_only',
        cost_usd: null,
        findings: [{ stage: 'input', decision: 'deny' }],
      },
    });
    expect(await harness.metric('requests_total{status="refused"}')).toBe(1);
    expect(await harness.metric('tokens_total{direction="input",model="model-a"}')).toBe(0);
  });

  it('ends where an output guardrail denies, keeps the safe text and reports the rule', async () => {
    const id = await play(requestOf('Hi'), {
      answers: [[say('I am a '), say('pir'), say('ate '), say('and more')]],
      guardrails: [BANNED],
    });
    const events = await briefs(id);
    expect(events.slice(-6)).toEqual([...refusal('Not that.', 'incomplete'), 'incomplete incomplete']);
    const response = await harness.reader.retrieve(ALICE, id);
    expect(response.incomplete_details).toEqual({ reason: 'content_filter' });
    expect('I am a '.startsWith(response.output_text)).toBe(true);
    expect(response.output).toHaveLength(1);
    expect(response.sluice.findings).toMatchObject([{ stage: 'output', decision: 'deny' }]);
    expect(response.sluice.kept).toBe('partial');
  });

  it('releases held text when the answer ends', async () => {
    const id = await play(requestOf('Hi'), { answers: [[say('I am a pira')]], guardrails: [BANNED] });
    expect((await harness.reader.retrieve(ALICE, id)).output_text).toBe('I am a pira');
  });

  it('streams a function call', async () => {
    const call: DemoStep = { type: 'call', name: 'get_weather', arguments: '{"a":1}' };
    const id = await play(requestOf('Hi'), { answers: [[say('Let me see.'), call]] });
    expect(await briefs(id)).toEqual([
      ...BEGUN,
      ...MESSAGE,
      'output_text.delta Let me see.',
      ...messageEnd('Let me see.', 'completed'),
      'output_item.added function_call in_progress',
      'function_call_arguments.delta {"a":1}',
      'function_call_arguments.done {"a":1}',
      'output_item.done function_call completed',
      'completed completed',
    ]);
  });

  it('keeps function calls apart whose arguments interleave, with text between them', async () => {
    const parts: ProviderPart[] = [
      START,
      { type: 'function_call', index: 0, callId: 'call_0', name: 'a' },
      { type: 'function_arguments', index: 0, delta: '{"x"' },
      { type: 'text', text: 'And ' },
      { type: 'function_call', index: 1, callId: 'call_1', name: 'b' },
      { type: 'function_arguments', index: 1, delta: '{}' },
      { type: 'function_arguments', index: 0, delta: ':1}' },
      { type: 'finish', reason: 'tool_calls' },
    ];
    const id = await play(requestOf('Hi'), { provider: new PartsProvider(parts) });
    const events = await harness.events(id);
    const done = events.filter((event) => event.type === 'response.function_call_arguments.done');
    expect(done.map((event) => event.arguments)).toEqual(['{"x":1}', '{}']);
    for (const event of events) {
      if (!('delta' in event)) continue;
      const later = events.slice(events.indexOf(event));
      const ends = later.some(
        (end) => end.type === 'response.output_item.done' && end.output_index === event.output_index,
      );
      expect(ends).toBe(true);
    }
  });

  it('forwards a refusal of the model', async () => {
    const id = await play(requestOf('Hi'), { answers: [[{ type: 'refusal', text: 'I will not.' }]] });
    expect((await briefs(id)).slice(3)).toEqual([...refusal('I will not.', 'completed'), 'completed completed']);
  });

  it('ends as incomplete at its token limit', async () => {
    const id = await play(requestOf('Hi', { maxOutputTokens: 1 }), { answers: [[say('one '), say('two')]] });
    expect((await briefs(id)).slice(-4)).toEqual([...messageEnd('one ', 'incomplete'), 'incomplete incomplete']);
    expect((await harness.reader.retrieve(ALICE, id)).incomplete_details).toEqual({ reason: 'max_output_tokens' });
  });

  it('fails with the error of the provider and keeps the text until then', async () => {
    const id = await play(requestOf('Hi'), { answers: [[say('Half'), fail('provider_timeout')]] });
    expect((await briefs(id)).slice(-4)).toEqual([...messageEnd('Half', 'incomplete'), 'failed failed']);
    expect(await harness.reader.retrieve(ALICE, id)).toMatchObject({
      error: { code: 'provider_timeout' },
      output_text: 'Half',
      usage: USAGE,
      sluice: { usage_estimated: true, kept: 'partial' },
    });
  });

  it('fails when the provider stream ends without a finish or throws an unexpected error', async () => {
    const id = await play(requestOf('Hi'), { provider: new PartsProvider([START, { type: 'text', text: 'Half' }]) });
    expect((await harness.reader.retrieve(ALICE, id)).error).toMatchObject({ code: 'provider_stream_interrupted' });
    await harness.close();
    harness = new TurnHarness({
      provider: {
        stream: () => {
          throw new TypeError('secret words');
        },
      },
    });
    const second = await harness.play(requestOf('Hi'));
    const response = await harness.reader.retrieve(ALICE, second);
    expect(response.error?.code).toBe('server_error');
    expect(JSON.stringify(response)).not.toContain('secret words');
    expect(response.usage).toBeNull();
  });
});

describe('a cancel', () => {
  const cancelled = async (id: string): Promise<void> => {
    const response = await harness.reader.retrieve(ALICE, id);
    expect(response).toMatchObject({ status: 'cancelled', incomplete_details: { reason: 'cancelled' } });
  };

  it('ends a streaming turn and its provider call', async () => {
    harness = new TurnHarness({ answers: [[say('Half'), HANG]] });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    while (!(await harness.types(responseId)).includes('output_text.delta')) await new Promise(setImmediate);
    expect(await harness.turns.cancel(ALICE, responseId)).toBe('requested');
    await harness.turns.whenIdle();
    expect((await briefs(responseId)).slice(-4)).toEqual([...messageEnd('Half', 'incomplete'), 'incomplete cancelled']);
    await cancelled(responseId);
    expect(await harness.turns.cancel(ALICE, responseId)).toBe('ended');
    expect(await harness.metric('requests_total{status="cancelled"}')).toBe(1);
    expect((await harness.reader.retrieve(ALICE, responseId)).sluice.kept).toBe('partial');
  });

  it('leaves nothing behind before the start and never calls the provider', async () => {
    const provider = new ScriptedProvider([[say('no')]]);
    harness = new TurnHarness({ provider });
    const conversation = await harness.conversation();
    const signal = AbortSignal.abort();
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi', { conversation }), ORIGIN, { signal });
    await harness.turns.whenIdle();
    expect(await briefs(responseId)).toEqual(['created in_progress', 'incomplete cancelled']);
    expect(provider.requests).toEqual([]);
    expect((await harness.reader.retrieve(ALICE, responseId)).sluice.kept).toBe('nothing');
    expect(await harness.texts(conversation)).toEqual([]);
  });

  it('keeps a cancel while the log is being opened', async () => {
    harness = new TurnHarness({ answers: [[HANG]] });
    const gate = harness.faults.hold('createWith');
    const asked = new AbortController();
    const created = harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, { signal: asked.signal });
    await gate.reached;
    asked.abort();
    gate.open();
    const { responseId } = await created;
    await harness.turns.whenIdle();
    await cancelled(responseId);
  });

  it('ends the turn when an append reports a cancel request', async () => {
    harness = new TurnHarness({ answers: [[say('a'), HANG]] });
    harness.faults.fail('watchCancel');
    const gate = harness.faults.hold('append');
    const created = harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await gate.reached;
    const [id] = [...(await heads())];
    await harness.plain.events.requestCancel(id ?? '');
    gate.open();
    const { responseId } = await created;
    await harness.turns.whenIdle();
    await cancelled(responseId);

    async function heads(): Promise<string[]> {
      const ids: string[] = [];
      for (const line of harness.log.lines) ids.push(String(line.fields['response_id']));
      return Promise.resolve(ids);
    }
  });

  it('accepts a cancel from the owner only', async () => {
    harness = new TurnHarness({ answers: [[HANG]] });
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await expect(harness.turns.cancel(BOB, responseId)).rejects.toMatchObject({ code: 'response_not_found' });
    await expect(harness.turns.cancel(ALICE, 'resp_none')).rejects.toMatchObject({ code: 'response_not_found' });
    await harness.turns.cancel(ALICE, responseId);
    await harness.turns.whenIdle();
  });
});

describe('a conversation', () => {
  it('keeps input and output and sends them with the next turn', async () => {
    const provider = new ScriptedProvider([[say('One')], [say('Two')]]);
    harness = new TurnHarness({ provider });
    const conversation = await harness.conversation();
    await harness.play(requestOf('first', { conversation }));
    await harness.play(requestOf('second', { conversation }));
    expect(await harness.texts(conversation)).toEqual(['first', 'One', 'second', 'Two']);
    expect(provider.requests[1]?.items).toHaveLength(3);
  });

  it('runs one writer of a conversation at a time, in order of arrival', async () => {
    harness = new TurnHarness({ answers: [[say('One'), HANG], [say('Two')], [say('Three')]] });
    const conversation = await harness.conversation();
    const ids: string[] = [];
    for (const text of ['first', 'second', 'third']) {
      ids.push((await harness.turns.create(ALICE, requestOf(text, { conversation }), ORIGIN)).responseId);
    }
    expect(await harness.types(ids[1] ?? '')).toEqual(['created', 'queued']);
    expect(await harness.metric('turns_waiting')).toBe(2);
    await harness.turns.cancel(ALICE, ids[0] ?? '');
    await harness.turns.whenIdle();
    expect(await harness.texts(conversation)).toEqual(['first', 'One', 'second', 'Two', 'third', 'Three']);
    expect(await harness.metric('turns_waiting')).toBe(0);
    expect((await briefs(ids[1] ?? '')).slice(0, 3)).toEqual([
      'created queued',
      'queued queued',
      'in_progress in_progress',
    ]);
  });

  it('keeps nothing of a turn that was cancelled while it waited', async () => {
    harness = new TurnHarness({ answers: [[say('One'), HANG], [say('Three')]] });
    const conversation = await harness.conversation();
    const first = await harness.turns.create(ALICE, requestOf('first', { conversation }), ORIGIN);
    const second = await harness.turns.create(ALICE, requestOf('second', { conversation }), ORIGIN);
    await harness.turns.cancel(ALICE, second.responseId);
    while ((await harness.types(second.responseId)).at(-1) !== 'incomplete') await new Promise(setImmediate);
    expect(await briefs(second.responseId)).toEqual(['created queued', 'queued queued', 'incomplete cancelled']);
    expect((await harness.reader.retrieve(ALICE, second.responseId)).sluice.kept).toBe('nothing');
    const third = await harness.turns.create(ALICE, requestOf('third', { conversation }), ORIGIN);
    await harness.turns.cancel(ALICE, first.responseId);
    await harness.turns.whenIdle();
    expect((await harness.types(third.responseId)).at(-1)).toBe('completed');
    expect(await harness.texts(conversation)).toEqual(['first', 'One', 'third', 'Three']);
    expect(await harness.metric('turns_waiting')).toBe(0);
  });

  it('never sends a provider refused input, or input that was cancelled before a guardrail judged it', async () => {
    const provider = new ScriptedProvider([[say('fine')]]);
    harness = new TurnHarness({ provider, guardrails: [BANNED] });
    const conversation = await harness.conversation();
    await harness.play(requestOf('a pirate', { conversation }));
    const signal = AbortSignal.abort();
    await harness.turns.create(ALICE, requestOf('the pirate', { conversation }), ORIGIN, { signal });
    await harness.turns.whenIdle();
    // The input was judged although its context could not be read: a failed turn's input is history
    // for the next.
    harness.faults.fail('recentItems', 1, () => new Error('corrupt'));
    await harness.play(requestOf('my pirate', { conversation }));
    harness.faults.heal('recentItems');
    await harness.play(requestOf('fine', { conversation }));
    expect(JSON.stringify(provider.requests)).not.toContain('pirate');
    expect(await harness.texts(conversation)).toContain('[a pirate]');
  });

  it('refuses a turn above its queue limit', async () => {
    harness = new TurnHarness({ answers: [[HANG]], maxWaiting: 0 });
    const conversation = await harness.conversation();
    const { responseId } = await harness.turns.create(ALICE, requestOf('first', { conversation }), ORIGIN);
    const refused = harness.turns.create(ALICE, requestOf('second', { conversation }), ORIGIN);
    await expect(refused).rejects.toMatchObject({ code: 'conversation_busy', retryAfterMs: expect.any(Number) });
    expect(await harness.plain.claim.members(conversation)).toEqual([responseId]);
    await harness.turns.cancel(ALICE, responseId);
    await harness.turns.whenIdle();
  });

  it('fails a waiting turn when its conversation is deleted, without counting an error', async () => {
    harness = new TurnHarness({ answers: [[HANG]] });
    const conversation = await harness.conversation();
    const first = await harness.turns.create(ALICE, requestOf('first', { conversation }), ORIGIN);
    const second = await harness.turns.create(ALICE, requestOf('second', { conversation }), ORIGIN);
    await harness.plain.conversations.delete(conversation);
    await harness.turns.cancel(ALICE, first.responseId);
    await harness.turns.whenIdle();
    expect((await harness.reader.retrieve(ALICE, second.responseId)).error?.code).toBe('conversation_not_found');
    expect(await harness.metric('requests_total{status="refused"}')).toBe(1);
    expect(await harness.metric('requests_total{status="error"}')).toBe(0);
  });
});

describe('a chain', () => {
  it('continues from a response, and forks share nothing', async () => {
    const provider = new ScriptedProvider([[say('One')], [say('Two')], [say('Other')]]);
    harness = new TurnHarness({ provider });
    const first = await harness.play(requestOf('first'));
    await Promise.all([
      harness.play(requestOf('second', { previousResponseId: first })),
      harness.play(requestOf('fork', { previousResponseId: first })),
    ]);
    expect(provider.requests.slice(1).map(({ items }) => items.length)).toEqual([3, 3]);
    expect(JSON.stringify(provider.requests[2])).not.toContain('second');
  });

  it('accepts the output of a function call with its call', async () => {
    const call: DemoStep = { type: 'call', name: 'get_weather', arguments: '{}' };
    const provider = new ScriptedProvider([[call], [say('Sunny')]]);
    harness = new TurnHarness({ provider });
    const first = await harness.play(requestOf('weather?'));
    const { output } = await harness.reader.retrieve(ALICE, first);
    const called = output[0];
    if (called?.type !== 'function_call') throw new Error('no call was made');
    const answer: FunctionCallOutputItem = {
      type: 'function_call_output',
      id: 'fco_1',
      call_id: called.call_id,
      output: 'sun',
      status: 'completed',
    };
    await harness.play(requestOf('', { previousResponseId: first, input: [answer] }));
    expect(provider.requests[1]?.items.map(({ type }) => type)).toEqual([
      'message',
      'function_call',
      'function_call_output',
    ]);
  });
});

describe('an idempotency key', () => {
  const use = { idempotency: { key: 'k', fingerprint: 'f' } };

  it('runs a repeated request once', async () => {
    const provider = new ScriptedProvider([[say('One')]]);
    harness = new TurnHarness({ provider });
    const [a, b] = await Promise.all([
      harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, use),
      harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, use),
    ]);
    await harness.turns.whenIdle();
    const c = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, use);
    expect(new Set([a.responseId, b.responseId, c.responseId]).size).toBe(1);
    expect(provider.requests).toHaveLength(1);
    const other = harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, { idempotency: { key: 'k', fingerprint: 'g' } });
    await expect(other).rejects.toMatchObject({ code: 'idempotency_key_reused' });
  });

  it('leaves the turn running when the signal of a request that joined it is aborted', async () => {
    harness = new TurnHarness({ answers: [[HANG]] });
    const first = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, use);
    const left = new AbortController();
    const second = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, { ...use, signal: left.signal });
    expect(second).toMatchObject({ responseId: first.responseId, joined: true });
    left.abort();
    expect(harness.turns.count).toBe(1);
    await harness.turns.cancel(ALICE, second.responseId);
    await harness.turns.whenIdle();
    expect((await harness.reader.retrieve(ALICE, first.responseId)).status).toBe('cancelled');
  });

  it('releases the idempotency key of a refused request', async () => {
    harness = new TurnHarness({ answers: [[HANG], [say('Now')]], maxWaiting: 0 });
    const conversation = await harness.conversation();
    const first = await harness.turns.create(ALICE, requestOf('a', { conversation }), ORIGIN);
    const refused = harness.turns.create(ALICE, requestOf('b', { conversation }), ORIGIN, use);
    await expect(refused).rejects.toMatchObject({ code: 'conversation_busy' });
    await harness.turns.cancel(ALICE, first.responseId);
    await harness.turns.whenIdle();
    const { responseId } = await harness.turns.create(ALICE, requestOf('b', { conversation }), ORIGIN, use);
    await harness.turns.whenIdle();
    expect((await harness.types(responseId)).at(-1)).toBe('completed');
  });
});

describe('the shutdown of a replica', () => {
  it('refuses new turns and ends running ones, each with its terminal', async () => {
    harness = new TurnHarness({ answers: [[say('Half'), HANG]] });
    const conversation = await harness.conversation();
    const first = await harness.turns.create(ALICE, requestOf('a', { conversation }), ORIGIN);
    const second = await harness.turns.create(ALICE, requestOf('b', { conversation }), ORIGIN);
    expect(harness.turns.count).toBe(2);
    harness.drain.startDraining();
    await expect(harness.turns.create(ALICE, requestOf('c'), ORIGIN)).rejects.toMatchObject({ code: 'draining' });
    await harness.turns.abortAll(new SluiceError('replica_lost', 'unable to finish; going away'));
    for (const { responseId } of [first, second]) {
      expect((await harness.reader.retrieve(ALICE, responseId)).error?.code).toBe('replica_lost');
    }
    expect(harness.turns.count).toBe(0);
    expect(await harness.plain.claim.members(conversation)).toEqual([]);
    expect(await harness.metric('turns_in_flight')).toBe(0);
  });
});
