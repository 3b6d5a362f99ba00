/* Admission: what each policy admits and refuses, and which parameter a refusal names. */

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Item } from '../../../src/domain/item.js';
import { type Principal } from '../../../src/domain/principal.js';
import { type ResponseRequest } from '../../../src/domain/request.js';
import { Admission, type AdmissionPolicy, type TurnPlan } from '../../../src/turn/admission.js';
import { PromptRegistry } from '../../../src/templating/registry.js';
import { compilePack } from '../../../src/templating/compile-pack.js';
import { packFile, promptFile } from '../templating/packs.js';
import { HANG, say } from '../../support/scripted-provider.js';
import { ALICE, BOB, ORIGIN, POLICY, requestOf, TurnHarness } from './turn-harness.js';
import { mediaCheck } from '../../support/media.js';
import { SummarySeal } from '../../../src/turn/summary-seal.js';

const USER: Principal = { ...ALICE, trusted: false };
const TENANT: Principal = { ...ALICE, owner: 'acme', user: null };

let harness: TurnHarness;
beforeEach(() => {
  harness = new TurnHarness({ answers: [[say('One')], [HANG]] });
});
afterEach(async () => {
  await harness.close();
});

function admit(
  request: Partial<ResponseRequest>,
  policy: Partial<AdmissionPolicy> = {},
  caller: Principal = ALICE,
): Promise<TurnPlan> {
  const { conversations, responses, events: log } = harness.plain;
  const admission = new Admission(
    { ...POLICY, ...policy },
    { prompts: PROMPTS, conversations, responses, events: log, media: mediaCheck(), seal: new SummarySeal(null) },
  );
  return admission.admit(caller, requestOf('Hi', request));
}

const { pack } = compilePack(
  'support.pack.json',
  packFile({
    id: 'support',
    prompts: {
      polite: promptFile('polite', {
        template: 'Be polite to {{who}}.',
        variables: [{ name: 'who', type: 'string', required: true }],
        more: { parameters: { temperature: 0.2, max_tokens: 300 } },
      }),
    },
  }),
);
if (pack === undefined) throw new Error('the pack of this test does not compile');
const PROMPTS = new PromptRegistry(pack.prompts);

const tool = { type: 'function', name: 'f', parameters: null, strict: null } as const;

describe('what a caller may set', () => {
  it.each<[string, Partial<ResponseRequest>, keyof AdmissionPolicy['allow']]>([
    ['instructions', { instructions: 'Be rude.' }, 'instructions'],
    ['tools', { tools: [tool] }, 'tools'],
    ['model', { model: 'model-b' }, 'model'],
  ])(
    'lets a trusted caller set %s unless the file forbids it, another caller only if the file allows it',
    async (param, request, key) => {
      const models = ['model-b'];
      const allow = (value: boolean | null): Partial<AdmissionPolicy> => ({
        models,
        allow: { ...POLICY.allow, [key]: value },
      });
      await expect(admit(request, allow(null))).resolves.toBeDefined();
      await expect(admit(request, allow(true), USER)).resolves.toBeDefined();
      const refused = { code: 'parameter_not_allowed', param };
      await expect(admit(request, allow(null), USER)).rejects.toMatchObject(refused);
      await expect(admit(request, allow(false))).rejects.toMatchObject(refused);
    },
  );

  it.each<[string, Partial<ResponseRequest>]>([
    ['temperature', { temperature: 1 }],
    ['top_p', { topP: 1 }],
    ['max_output_tokens', { maxOutputTokens: 10 }],
    ['reasoning.effort', { reasoningEffort: 'low' }],
  ])('lets a trusted caller set %s, and another caller where sampling is allowed', async (param, request) => {
    await expect(admit(request)).resolves.toBeDefined();
    await expect(admit(request, {}, USER)).rejects.toMatchObject({ code: 'parameter_not_allowed', param });
    await expect(admit(request, { allow: { ...POLICY.allow, sampling: true } }, USER)).resolves.toBeDefined();
    const allow = { ...POLICY.allow, sampling: false };
    await expect(admit(request, { allow })).rejects.toMatchObject({ code: 'parameter_not_allowed', param });
  });

  it('accepts a request without tools where tools are not allowed', async () => {
    await expect(admit({ tools: [] }, {}, USER)).resolves.toBeDefined();
  });

  it('admits the configured model always and an unlisted model never', async () => {
    expect((await admit({ model: 'model-a' }, {}, USER)).model).toBe('model-a');
    await expect(admit({ model: 'model-z' })).rejects.toMatchObject({ code: 'model_not_found', param: 'model' });
  });

  it('refuses a caller without the scope for the request', async () => {
    const refused = admit({}, {}, { ...ALICE, scopes: new Set(['admin']) });
    await expect(refused).rejects.toMatchObject({ code: 'insufficient_scope' });
  });
});

describe('tokens and temperature', () => {
  const prompt = { id: 'polite', variables: { who: 'all' } };

  it('takes a value from the request, else from the prompt, else from the configuration', async () => {
    const policy = { maxTokens: 500, temperature: 0.9 };
    expect(await admit({}, policy)).toMatchObject({ maxOutputTokens: 500, temperature: 0.9, topP: null });
    expect(await admit({ prompt }, policy)).toMatchObject({ maxOutputTokens: 300, temperature: 0.2 });
    expect(await admit({ prompt, maxOutputTokens: 20, temperature: 1, topP: 0.5 }, policy)).toMatchObject({
      maxOutputTokens: 20,
      temperature: 1,
      topP: 0.5,
    });
  });

  it('refuses a request over the ceiling, and caps a prompt at the ceiling', async () => {
    await expect(admit({ maxOutputTokens: 501 }, { maxTokens: 500 })).rejects.toMatchObject({
      code: 'invalid_value',
      param: 'max_output_tokens',
    });
    expect((await admit({ prompt }, { maxTokens: 100 })).maxOutputTokens).toBe(100);
    expect((await admit({ maxOutputTokens: 9_000 })).maxOutputTokens).toBe(9_000);
  });
});

describe('admission of prompts', () => {
  const prompt = { id: 'support/polite', variables: { who: 'everyone' } };

  it('puts the prompt before the instructions of the request and never replaces it', async () => {
    const { system } = await admit({ prompt, instructions: 'Answer in French.' });
    expect(system.indexOf('Be polite to everyone.')).toBe(0);
    expect(system).toContain('Answer in French.');
  });

  it('uses the prompt of the configuration by default', async () => {
    await expect(admit({}, { defaultPrompt: 'polite' })).rejects.toMatchObject({ code: 'missing_variable' });
    expect((await admit({}, { defaultPrompt: null })).prompt).toBeNull();
  });

  it('refuses a prompt where the step is turned off or the prompt is unknown', async () => {
    const off = { templateEnabled: false, defaultPrompt: 'polite' };
    await expect(admit({ prompt }, off)).rejects.toMatchObject({ code: 'prompt_not_found', param: 'prompt' });
    expect((await admit({}, off)).system).toBe('');
    await expect(admit({ prompt: { id: 'other' } })).rejects.toMatchObject({ code: 'prompt_not_found' });
  });
});

const OUTPUT: Item = {
  type: 'function_call_output',
  id: 'fco_1',
  call_id: 'call_1',
  output: 'done',
  status: 'completed',
};

describe('the state that a turn continues from', () => {
  it('continues a conversation of the caller or of its tenant', async () => {
    const conversation = await harness.conversation();
    expect((await admit({ conversation })).source).toEqual({ kind: 'conversation', id: conversation });
    expect((await admit({ conversation }, {}, TENANT)).source.kind).toBe('conversation');
  });

  it.each([
    ['a turn', requestOf('Hi')],
    ['the output of a function', { ...requestOf(''), input: [OUTPUT] }],
  ])('reports a conversation of another owner as not found to %s, which takes no place in it', async (_, request) => {
    const conversation = await harness.conversation();
    const create = (id: string) => harness.turns.create(BOB, { ...request, conversation: id }, ORIGIN);
    const foreign = await create(conversation).catch((error: unknown) => error);
    const unknown = await create('conv_none').catch((error: unknown) => error);
    expect(foreign).toMatchObject({ code: 'conversation_not_found' });
    expect({ ...(foreign as Error), message: (foreign as Error).message }).toEqual({
      ...(unknown as Error),
      message: (unknown as Error).message,
    });
    expect(await harness.plain.claim.members(conversation)).toEqual([]);
  });

  it('reports a conversation to which the credential is not bound as not found', async () => {
    const conversation = await harness.conversation();
    const bound = { ...ALICE, binding: { conversation: 'conv_other' } };
    await expect(admit({ conversation }, {}, bound)).rejects.toMatchObject({ code: 'conversation_not_found' });
  });

  it('refuses a stored response that runs, belongs to another owner, is unknown or was not stored', async () => {
    const first = await harness.play(requestOf('Hi'));
    expect((await admit({ previousResponseId: first })).source).toMatchObject({ kind: 'previous', id: first });
    const gone = { code: 'previous_response_not_found', param: 'previous_response_id' };
    await expect(admit({ previousResponseId: first }, {}, BOB)).rejects.toMatchObject(gone);
    await expect(admit({ previousResponseId: 'resp_none' })).rejects.toMatchObject(gone);
    const { responseId } = await harness.turns.create(ALICE, requestOf('Hi'), ORIGIN);
    await expect(admit({ previousResponseId: responseId })).rejects.toMatchObject({ code: 'response_still_running' });
    await expect(admit({ previousResponseId: responseId }, {}, BOB)).rejects.toMatchObject(gone);
    await harness.turns.cancel(ALICE, responseId);
    await harness.turns.whenIdle();
  });

  it('refuses to continue where the configuration keeps no conversations', async () => {
    const policy = { stateEnabled: false };
    await expect(admit({ conversation: 'conv_1' }, policy)).rejects.toMatchObject({ param: 'conversation' });
    await expect(admit({ previousResponseId: 'resp_1' }, policy)).rejects.toMatchObject({
      code: 'parameter_not_allowed',
      param: 'previous_response_id',
    });
    await expect(admit({}, policy)).resolves.toMatchObject({ source: { kind: 'none' } });
  });

  it('refuses the output of a function call without its call', async () => {
    const answer: Item = {
      type: 'function_call_output',
      id: 'fco_1',
      call_id: 'call_1',
      output: '1',
      status: 'completed',
    };
    const refused = { code: 'unknown_call_id', param: 'input[0].call_id' };
    await expect(admit({ input: [answer] })).rejects.toMatchObject(refused);
    const first = await harness.play(requestOf('Hi'));
    await expect(admit({ input: [answer], previousResponseId: first })).rejects.toMatchObject(refused);
  });
});
