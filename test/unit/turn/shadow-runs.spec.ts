/*
 * Candidate versions of a prompt that run on the input of ended turns: when, within which bounds,
 * and what remains of them.
 */

import { afterEach, describe, expect, it } from '@jest/globals';
import { SluiceError } from '../../../src/domain/errors.js';
import { type Principal } from '../../../src/domain/principal.js';
import { type ResponseRequest } from '../../../src/domain/request.js';
import { systemTime } from '../../../src/domain/time.js';
import { compilePack } from '../../../src/templating/compile-pack.js';
import { PromptRegistry } from '../../../src/templating/registry.js';
import { type ShadowPolicy } from '../../../src/turn/shadow-runs.js';
import { guardrailsFrom } from '../../../src/validation/read-guardrails.js';
import { type DemoStep } from '../../../src/provider/demo/demo-script.js';
import { fail, HANG, say, ScriptedProvider } from '../../support/scripted-provider.js';
import { packFile, type PromptDraft, promptFile } from '../templating/packs.js';
import { ALICE, type HarnessOptions, ORIGIN, requestOf, TurnHarness } from './turn-harness.js';

function promptsOf(version: string, draft: PromptDraft) {
  const file = packFile({ version, prompts: { greet: promptFile('greet', draft) } });
  const { pack, mistakes } = compilePack('t.pack.json', file, { readGuardrails: guardrailsFrom });
  if (pack === undefined) throw new Error(JSON.stringify(mistakes));
  return pack.prompts;
}

const BANNED = { type: 'banned_words', params: { words: ['pirate'] }, message: 'No.' };
const ALWAYS: ShadowPolicy = { version: '2.0.0', sample: 1, maxPerHour: 100, costPerHourUsd: 100 };
const HOUR_MS = 3_600_000;
const candidate = (outcome: string): string =>
  `prompt_turns_total{prompt="shop/greet",version="2.0.0",source="shadow",outcome="${outcome}"}`;
const skipped = (reason: string): string => `prompt_shadows_skipped_total{prompt="shop/greet",reason="${reason}"}`;

interface Setup extends Omit<HarnessOptions, 'provider' | 'shadow'> {
  readonly candidate_?: Partial<ShadowPolicy>;
  readonly draft?: PromptDraft;
}

let harness: TurnHarness;
afterEach(() => harness.close());

function setUp(script: readonly (readonly DemoStep[])[], { candidate_, draft, ...options }: Setup = {}) {
  const provider = new ScriptedProvider(script);
  const ends: (() => void)[] = [];
  /**
   * Rounds of the event loop that shadow runs asked for. A turn that begins no run asks for none.
   */
  const begun: unknown[] = [];
  let skipMs = 0;
  const shadowTime = {
    ...systemTime,
    now: () => systemTime.now() + skipMs,
    soon: (work: () => void) => {
      begun.push(work);
      systemTime.soon(work);
    },
  };
  harness = new TurnHarness({
    provider,
    prompts: new PromptRegistry([
      ...promptsOf('2.0.0', draft ?? { template: 'The candidate.', more: { validators: [BANNED] } }),
      ...promptsOf('1.0.0', { template: 'The live one.' }),
    ]),
    shadow: { 'shop/greet': { ...ALWAYS, ...candidate_ } },
    policy: { defaultPrompt: 'greet', canary: { greet: { '1.0.0': 1 } } },
    shadowTime,
    onShadow: () => ends.shift()?.(),
    ...options,
  });
  return {
    provider,
    begun,
    advance: (ms: number) => void (skipMs += ms),
    /** Plays a turn and waits until its shadow run has ended, or was skipped. */
    play: async (request: ResponseRequest = requestOf('Hi')): Promise<string> => {
      const ended = new Promise<void>((resolve) => ends.push(resolve));
      const id = await harness.play(request);
      await ended;
      return id;
    },
    nextEnd: () => new Promise<void>((resolve) => ends.push(resolve)),
  };
}

describe('a shadow run', () => {
  it('sends the input and context of the turn with the candidate, and counts it apart', async () => {
    const { play, provider } = setUp([[say('Live.')], [say('Shadow.')]]);
    const conversation = await harness.conversation();
    await play(requestOf('Hi', { conversation }));
    const [live, shadow] = provider.requests;
    expect(live?.system).toBe('The live one.');
    expect(shadow).toEqual({ ...live, system: 'The candidate.' });
    expect(await harness.metric(candidate('completed'))).toBe(1);
    expect(await harness.metric(candidate('completed').replace('2.0.0', '1.0.0').replace('shadow', 'live'))).toBe(1);
    const labels = '{prompt="shop/greet",version="2.0.0",source="shadow"}';
    expect(await harness.metric(`prompt_first_delta_seconds_count${labels}`)).toBe(1);
    expect(await harness.metric(`prompt_cost_usd_sum${labels}`)).toBe(0.5);
    expect(await harness.metric('llm_cost_usd{model="model-a"}')).toBe(1);
    expect(await harness.metric('requests_total{status="success"}')).toBe(1);
  });

  it('stores nothing and touches no part of the state', async () => {
    const { play } = setUp([[say('Live.')], [say('Shadow.')]]);
    const conversation = await harness.conversation();
    await play(requestOf('Hi', { conversation }));
    const before = [...harness.faults.calls];
    expect(await harness.texts(conversation)).toEqual(['Hi', 'Live.']);
    await play(requestOf('Again', { conversation }));
    // A run that wrote would be seen between the calls of the first turn and those of the second.
    expect(harness.faults.calls.slice(before.length)).toEqual(before);
    expect(before.filter((call) => call === 'put' || call === 'appendItems')).toHaveLength(2);
    expect(await harness.texts(conversation)).toEqual(['Hi', 'Live.', 'Again', 'Shadow.']);
  });

  it('applies the guardrails of the candidate', async () => {
    const { play } = setUp([[say('A pirate.')]]);
    await play();
    expect(await harness.metric(candidate('blocked'))).toBe(1);
    const findings = 'prompt_findings_total{prompt="shop/greet",version="2.0.0",source="shadow",decision="deny"}';
    expect(await harness.metric(findings)).toBe(1);
    expect(
      await harness.metric('guardrail_findings_total{guardrail="banned_words",stage="output",decision="deny"}'),
    ).toBe(0);
  });

  it('counts a failure of the provider, and logs its code only', async () => {
    const { play } = setUp([[say('Live.')], [fail('provider_error')]]);
    await play();
    expect(await harness.metric(candidate('failed'))).toBe(1);
    expect(harness.log.lines.filter(({ message }) => message === 'shadow run failed')).toEqual([
      {
        level: 'debug',
        message: 'shadow run failed',
        fields: { prompt: 'shop/greet', version: '2.0.0', error: 'provider_error' },
      },
    ]);
    expect(await harness.metric('failures_total{code="provider_error"}')).toBe(0);
  });

  it('counts as refused a request that the candidate cannot render', async () => {
    const who = { name: 'who', type: 'string', required: true };
    const { play, provider } = setUp([[say('Live.')]], { draft: { template: 'Greet {{who}}.', variables: [who] } });
    await play();
    expect(await harness.metric(candidate('refused'))).toBe(1);
    expect(provider.requests).toHaveLength(1);
  });

  it('skips a shadow run if no provider can be called', async () => {
    let turns = 0;
    const enter = async () => {
      if (++turns > 1) throw new SluiceError('rate_limit_exceeded', 'unable to call');
      return { paid: null, giveBack: () => Promise.resolve() };
    };
    const { play, provider } = setUp([[say('Live.')]], { gate: { enter } });
    await play();
    expect(await harness.metric(skipped('provider'))).toBe(1);
    expect(provider.requests).toHaveLength(1);
  });

  it('ends when the replica drains', async () => {
    const { provider, nextEnd } = setUp([[say('Live.')], [say('Sha'), HANG]]);
    const ended = nextEnd();
    await harness.play(requestOf('Hi'));
    while (provider.requests.length < 2) await new Promise(setImmediate);
    harness.drain.startDraining();
    await ended;
    expect(await harness.metric(candidate('cancelled'))).toBe(1);
  });
});

describe('the bounds of shadow runs', () => {
  it('skips turns while two shadow runs are in progress', async () => {
    const { provider, play } = setUp([[say('Live.')], [HANG], [say('Live.')], [HANG], [say('Live.')]]);
    await harness.play(requestOf('One'));
    while (provider.requests.length < 2) await new Promise(setImmediate);
    await harness.play(requestOf('Two'));
    while (provider.requests.length < 4) await new Promise(setImmediate);
    await play(requestOf('Three'));
    expect(await harness.metric(skipped('busy'))).toBe(1);
    expect(provider.requests).toHaveLength(5);
    harness.drain.startDraining();
  });

  it('skips shadow runs while the event loop lags', async () => {
    let lagging = false;
    const { provider, play } = setUp([[say('Live.')]], { room: { lagging: () => lagging } });
    const stored = harness.faults.hold('put');
    const played = play();
    await stored.reached;
    lagging = true;
    stored.open();
    await played;
    expect(await harness.metric(skipped('busy'))).toBe(1);
    expect(provider.requests).toHaveLength(1);
  });

  it('ends the shadow runs of an hour at their number', async () => {
    const { play, provider, advance } = setUp([[say('Hello.')]], { candidate_: { maxPerHour: 1 } });
    await play();
    await play();
    expect(await harness.metric(skipped('budget'))).toBe(1);
    expect(provider.requests).toHaveLength(3);
    advance(HOUR_MS);
    await play();
    expect(await harness.metric(candidate('completed'))).toBe(2);
  });

  it('ends the shadow runs of an hour at their cost', async () => {
    const { play } = setUp([[say('Hello.')]], { candidate_: { costPerHourUsd: 0.6 } });
    for (let turn = 0; turn < 3; turn++) await play();
    expect(await harness.metric(candidate('completed'))).toBe(2);
    expect(await harness.metric(skipped('budget'))).toBe(1);
  });
});

describe('a turn without a shadow run', () => {
  const bound: Principal = { ...ALICE, binding: { prompt: { id: 'greet', version: '1.0.0' } } };
  it.each<[string, Partial<ResponseRequest>, Setup, Principal]>([
    ['at a sample of 0', {}, { candidate_: { sample: 0 } }, ALICE],
    ['of `store: false`', { store: false }, {}, ALICE],
    ['if its request names a version', { prompt: { id: 'greet', version: '1.0.0' } }, {}, ALICE],
    ['if its credential fixes the version', {}, {}, bound],
    ['if it had the candidate itself', {}, { policy: { defaultPrompt: 'greet', canary: {} } }, ALICE],
    ['if it had no prompt', {}, { policy: { defaultPrompt: null } }, ALICE],
    ['if it called no provider', { generate: false }, {}, ALICE],
    [
      'if its input was refused',
      {},
      { guardrails: [{ type: 'banned_words', enabled: true, params: { words: ['hi'] } }] },
      ALICE,
    ],
  ])('begins none %s', async (_why, fields, options, caller) => {
    const { begun } = setUp([[say('Live.')]], options);
    await harness.play(requestOf('Hi', fields), caller);
    expect(begun).toEqual([]);
  });

  it('does not try a turn again that failed or was cancelled', async () => {
    const { begun, provider } = setUp([[fail('provider_error')], [HANG]]);
    await harness.play(requestOf('Hi'));
    const cancel = new AbortController();
    await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN, { signal: cancel.signal });
    while (provider.requests.length < 2) await new Promise(setImmediate);
    cancel.abort();
    await harness.turns.whenIdle();
    expect(begun).toEqual([]);
  });

  it('starts no shadow run while the replica drains', async () => {
    const { begun } = setUp([[say('Live.')]]);
    const stored = harness.faults.hold('put');
    const played = harness.play(requestOf('Hi'));
    await stored.reached;
    harness.drain.startDraining();
    stored.open();
    expect(await harness.types(await played)).toContain('completed');
    expect(begun).toEqual([]);
  });
});
