/*
 * The answer of a turn over a scripted provider, without a state store: events, outcome and facts.
 */

import { describe, expect, it } from '@jest/globals';
import { NO_TRACING } from '../../../src/observability/tracing.js';
import { systemTime } from '../../../src/domain/time.js';
import { type DemoStep } from '../../../src/provider/demo/demo-script.js';
import { type EventLog } from '../../../src/state/event-log.js';
import { answer } from '../../../src/turn/answer.js';
import { FlushClock } from '../../../src/turn/flush-clock.js';
import { type Context } from '../../../src/turn/turn-context.js';
import { TurnGuards } from '../../../src/turn/turn-guards.js';
import { Journal } from '../../../src/turn/journal.js';
import { CANCELLED } from '../../../src/turn/outcome.js';
import { OutputWriter } from '../../../src/turn/output-writer.js';
import { newFacts, newResponse, type Turn } from '../../../src/turn/turn.js';
import { TurnTrace } from '../../../src/turn/turn-trace.js';
import { type GuardrailSpec } from '../../../src/validation/guardrail.js';
import { fail, HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { ALICE, ORIGIN, requestOf } from './turn-harness.js';

const BANNED: GuardrailSpec = { type: 'banned_words', enabled: true, params: { words: ['pirate'] } };

function answering(text: string, steps: readonly DemoStep[], guardrails: readonly GuardrailSpec[] = []) {
  const plan = {
    caller: ALICE,
    request: requestOf(text),
    source: { kind: 'none' },
    prompt: null,
    system: '',
    model: 'model-a',
    maxOutputTokens: null,
    temperature: null,
    topP: null,
    showReasoning: false,
  } as const;
  const response = newResponse(plan, systemTime);
  const shown: string[] = [];
  const log = {
    append: async (_id: string, _fence: number, events: readonly { readonly type: string }[]) => {
      shown.push(...events.map(({ type }) => type.replace('response.', '')));
      return { outcome: 'appended', cancelRequested: false };
    },
    // The journal has only `append` to offer here.
  } as unknown as EventLog;
  const journal = new Journal({
    events: log,
    clock: new FlushClock({ maxWindowMs: 0 }),
    responseId: response.id,
    fence: 1,
    response,
    onCancel: () => undefined,
    onLost: () => undefined,
  });
  const turn: Turn = {
    responseId: response.id,
    plan,
    origin: ORIGIN,
    stop: new AbortController(),
    fence: 1,
    journal,
    writer: new OutputWriter(journal),
    input: [],
    recent: undefined,
    facts: newFacts(plan.model),
    trace: TurnTrace.begin(NO_TRACING, ORIGIN, systemTime),
    time: systemTime,
    startedAt: 0,
  };
  const provider = new ScriptedProvider([steps]);
  const contexts = { contextOf: () => Promise.resolve({ history: [], items: plan.request.input }) };
  const compaction = { apply: (_turn: Turn, context: Context) => Promise.resolve(context) };
  const outcome = answer(turn, { contexts, guards: new TurnGuards(guardrails), provider, compaction });
  return { outcome, turn, provider, text: () => journal.accumulator.response().output_text, shown };
}

describe('answer', () => {
  it('writes the text of the provider and returns its finish reason', async () => {
    const { outcome, turn, text, shown } = answering('Hi', [say('Hello'), say(' there')]);
    expect(await outcome).toEqual({ end: 'completed' });
    await new Promise(setImmediate);
    expect(text()).toBe('Hello there');
    expect(shown[0]).toBe('in_progress');
    expect(turn.facts).toMatchObject({
      begun: true,
      providerCalled: true,
      provider: 'scripted',
      produced: 'Hello there',
    });
  });

  it('refuses input that a guardrail denies and does not call the provider', async () => {
    const { outcome, turn, provider } = answering('a pirate', [say('Hello')], [BANNED]);
    expect(await outcome).toEqual({ end: 'completed' });
    expect(turn.facts).toMatchObject({ begun: true, inputRefused: true, providerCalled: false });
    expect(provider.requests).toEqual([]);
  });

  it('stops at output that a guardrail denies, and shows none of it', async () => {
    const { outcome, text } = answering('Hi', [say('I am a pirate, and'), say(' more')], [BANNED]);
    expect(await outcome).toEqual({ end: 'incomplete', reason: 'content_filter' });
    expect(text()).not.toContain('pirate');
  });

  it('throws the error of the provider', async () => {
    const { outcome } = answering('Hi', [fail('provider_error')]);
    await expect(outcome).rejects.toMatchObject({ code: 'provider_error' });
  });

  it('throws the reason of the abort when the turn was stopped', async () => {
    const { outcome, turn } = answering('Hi', [HANG]);
    turn.stop.abort(CANCELLED);
    await expect(outcome).rejects.toBe(CANCELLED);
  });
});
