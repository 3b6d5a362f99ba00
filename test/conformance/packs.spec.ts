/* What a prompt of a pack changes in a turn: its text, values, parameters and tools. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { callsAnswer, type FakeRequest, textAnswer } from '../support/fake-openai-server.js';
import { startGateway } from '../support/gateway.js';
import { GatewayHarness, ONE_TRY, promptOf, terminalOf } from '../support/gateway-harness.js';
import { packFile, promptFile } from '../unit/templating/packs.js';

const text = (name: string, more: object = {}): object => ({ name, type: 'string', required: true, ...more });
const tool = (name: string): object => ({
  name,
  description: `Runs ${name}`,
  parameters: { type: 'object', properties: { id: { type: 'string' } } },
});
const PACK = packFile({
  tools: { look_up: tool('look_up'), refund: tool('refund'), drop: tool('drop') },
  prompts: {
    greet: promptFile('greet', {
      template: 'Greet {{who}} of {{company}} ({{shape}}) in {{conversation_id}}.',
      variables: [text('who'), text('company'), { name: 'shape', type: 'object', required: false, default: {} }],
      more: {
        parameters: { temperature: 0.2, frequency_penalty: 0.5, max_tokens: 300 },
        model_overrides: {
          'other-model': { system_template: 'Other {{who}}', parameters: { temperature: 0.9, presence_penalty: -1 } },
        },
      },
    }),
    work: promptFile('work', {
      more: {
        tools: ['look_up', 'refund', 'drop'],
        tool_policy: { tool_choice: 'required', blocklist: ['drop'], max_tool_calls_per_turn: 3, max_rounds: 2 },
      },
    }),
    mute: promptFile('mute', { more: { tools: ['look_up'], tool_policy: { tool_choice: 'none' } } }),
    open: promptFile('open'),
  },
});

let folder: string;
let harness: GatewayHarness;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-packs-'));
  writeFileSync(join(folder, 'shop.pack.json'), JSON.stringify(PACK));
  harness = await GatewayHarness.start({
    config: {
      middleware: { ...ONE_TRY, template: { source: folder, variables: { company: 'Acme', who: 'Ada' } } },
      clients: { models: ['other-model'] },
    },
  });
});
afterEach(() => harness.hangUp());
afterAll(async () => {
  await harness.close();
  rmSync(folder, { recursive: true });
});

const asked = (): FakeRequest => harness.provider.requests.at(-1)!;
const refusal = async (body: object): Promise<unknown> => (await harness.post({ input: 'x', ...body })).body['error'];

describe('the values of a prompt', () => {
  it('takes values of a prompt from the request, the configuration and the turn, and never expands them [PACK-1, PACK-2]', async () => {
    const conversation = await harness.conversation();
    harness.says('Hello');
    const variables = { who: '{{company}}', shape: { a: ['{{who}}'] } };
    await harness.post({ input: 'Hi {{who}}', conversation, prompt: { id: 'greet', variables } });
    expect(promptOf(asked())).toEqual([
      `system: Greet {{company}} of Acme ({"a":["{{who}}"]}) in ${conversation}.`,
      'user: Hi {{who}}',
    ]);
  });

  it('refuses a request with the name of a variable for which the turn has no value [PACK-2]', async () => {
    expect(await refusal({ prompt: { id: 'greet' } })).toMatchObject({
      code: 'missing_variable',
      param: 'prompt.variables.conversation_id',
    });
    expect(await refusal({ prompt: { id: 'greet', variables: { conversation_id: 'conv_of_another' } } })).toMatchObject(
      {
        code: 'invalid_variable',
        param: 'prompt.variables.conversation_id',
      },
    );
  });
});

describe('the model override of a prompt', () => {
  it('replaces the text and parameters of a prompt for the model of an override only [PACK-3]', async () => {
    const conversation = await harness.conversation();
    harness.says('Hello');
    await harness.post({ input: 'Hi', conversation, prompt: { id: 'greet' } });
    expect(asked().body).toMatchObject({ temperature: 0.2, frequency_penalty: 0.5, max_tokens: 300 });
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi', conversation, model: 'other-model', prompt: { id: 'greet' } });
    expect(promptOf(asked())[0]).toBe('system: Other Ada');
    expect(asked().body).toMatchObject({ temperature: 0.9, frequency_penalty: 0.5, presence_penalty: -1 });
    expect(body).toMatchObject({ temperature: 0.9, frequency_penalty: 0.5, presence_penalty: -1 });
  });
});

describe('the tools of a prompt', () => {
  const output = (call_id: string): object => ({ type: 'function_call_output', call_id, output: 'done' });
  const namesOf = (tools: unknown): string[] =>
    (tools as { function: { name: string } }[]).map((one) => one.function.name);
  const calls = (body: Record<string, unknown>): string[] =>
    (body['output'] as { type: string; name: string }[])
      .filter(({ type }) => type === 'function_call')
      .map(({ name }) => name);

  it('offers the tools of a prompt to the model and echoes them, without blocked ones [PACK-4]', async () => {
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi', prompt: { id: 'work' } });
    expect(namesOf(asked().body['tools'])).toEqual(['look_up', 'refund']);
    expect(asked().body['tool_choice']).toBe('required');
    expect(body).toMatchObject({
      tools: [{ name: 'look_up', strict: false }, { name: 'refund' }],
      tool_choice: 'required',
    });
  });

  it('lets a request choose and define the tools of its prompt, but add no others [PACK-4]', async () => {
    const own = { type: 'function', name: 'look_up', parameters: { type: 'object' } };
    harness.says('Hello');
    await harness.post({
      input: 'Hi',
      prompt: { id: 'work' },
      tools: [own],
      tool_choice: { type: 'function', name: 'refund' },
    });
    expect(namesOf(asked().body['tools'])).toEqual(['look_up', 'refund']);
    expect(asked().body['tool_choice']).toEqual({ type: 'function', function: { name: 'refund' } });
    expect(await refusal({ prompt: { id: 'work' }, tools: [own, { ...own, name: 'drop' }] })).toMatchObject({
      code: 'parameter_not_allowed',
      param: 'tools[1].name',
    });
    expect(await refusal({ prompt: { id: 'work' }, tool_choice: { type: 'function', name: 'x' } })).toMatchObject({
      code: 'invalid_value',
      param: 'tool_choice',
    });
    harness.says('Hello');
    const { status } = await harness.post({ input: 'Hi', prompt: { id: 'open' }, tools: [{ ...own, name: 'any' }] });
    expect([status, namesOf(asked().body['tools'])]).toEqual([200, ['any']]);
  });

  it('does not offer or require the tools of a prompt whose policy is none [PACK-4]', async () => {
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi', prompt: { id: 'mute' } });
    expect([asked().body['tools'], body['tools'], body['tool_choice']]).toEqual([undefined, [], 'none']);
    expect(await refusal({ prompt: { id: 'mute' }, tool_choice: 'required' })).toMatchObject({
      code: 'parameter_not_allowed',
      param: 'tool_choice',
    });
  });

  it('withholds blocked calls and calls beyond the limit from the client [PACK-5]', async () => {
    const names = ['look_up', 'drop', 'refund', 'refund', 'look_up'];
    harness.provider.answerWith(callsAnswer(names.map((name, i) => ({ id: `c${i}`, name }))));
    const { body } = await harness.post({ input: 'Hi', prompt: { id: 'work' } });
    expect(calls(body)).toEqual(['look_up', 'refund', 'refund']);
    const found = (reason: string): object => ({ guardrail: 'tool_policy', stage: 'output', decision: 'deny', reason });
    expect(body['sluice']).toMatchObject({ findings: [found('blocked_tool'), found('too_many_calls')] });
  });

  it('offers no tools after the limit of calls or rounds, until the next message of the user [PACK-5]', async () => {
    const conversation = await harness.conversation();
    const ask = async (body: object): Promise<Record<string, unknown>> =>
      (await harness.post({ conversation, prompt: { id: 'work' }, ...body })).body;
    harness.provider.answerWith(callsAnswer([{ id: 'a', name: 'refund' }]));
    await ask({ input: 'Hi' });
    harness.provider.answerWith(callsAnswer([{ id: 'b', name: 'refund' }]));
    await ask({ input: [output('a')] });
    // A call is required of the first answer only: a loop of tools has to be able to end.
    expect(asked().body['tool_choice']).toBe('auto');
    harness.provider.answerWith(callsAnswer([{ id: 'c', name: 'refund' }], 'That is all.'));
    const third = await ask({ input: [output('b')] });
    expect(asked().body['tool_choice']).toBe('none');
    expect([third['status'], calls(third)]).toEqual(['completed', ['refund']]);
    harness.says('Sure');
    await ask({ input: [output('c'), { role: 'user', content: 'Again' }] });
    expect(asked().body['tool_choice']).toBe('required');
  });
});

describe('a reload of the packs', () => {
  const write = (version: string, more: object = {}): void => {
    const pack = {
      ...PACK,
      id: 'fresh',
      version,
      prompts: { fresh: promptFile('fresh', { template: `Version ${version}.` }) },
    };
    writeFileSync(join(folder, `${version}.pack.json`), JSON.stringify({ ...pack, ...more }));
  };
  const versions = async (): Promise<string[]> => {
    const { body } = await harness.api('/v1/prompts');
    return (body['data'] as { pack: string; version: string }[])
      .filter(({ pack }) => pack === 'fresh')
      .map(({ version }) => version);
  };
  const reload = () => harness.gateway.gateway.parts.prompts.reload();
  const ready = async (): Promise<unknown> => (await fetch(`${harness.gateway.opsUrl}/ready`)).json();
  const answered = async (prompt: object): Promise<unknown> => {
    harness.says('Hello');
    const { body } = await harness.post({ input: 'Hi', prompt });
    return [promptOf(asked())[0], (body['sluice'] as { prompt: unknown }).prompt];
  };

  it('serves the highest version of a pack, records it, and keeps every version that is named [PACK-6]', async () => {
    write('1.9.0');
    write('1.10.0');
    write('2.0.0-rc.1');
    await reload();
    expect(await versions()).toEqual(['2.0.0-rc.1', '1.10.0', '1.9.0']);
    const used = (version: string): object => ({ pack: 'fresh', name: 'fresh', version });
    expect(await answered({ id: 'fresh' })).toEqual(['system: Version 1.10.0.', used('1.10.0')]);
    expect(await answered({ id: 'fresh', version: '2.0.0-rc.1' })).toEqual([
      'system: Version 2.0.0-rc.1.',
      used('2.0.0-rc.1'),
    ]);
  });

  it('keeps every former pack and reports to operators if a reload finds a mistake [PACK-6]', async () => {
    const before = await versions();
    write('3.0.0');
    write('4.0.0', { nmae: 'x' });
    await reload();
    expect(await versions()).toEqual(before);
    expect(await ready()).toMatchObject({
      status: 'ready',
      details: { prompts: { reason: expect.stringContaining('4.0.0.pack.json: /nmae: is no key of the format') } },
    });
    expect(harness.gateway.lines.filter((line) => line.includes('prompt packs not reloaded'))).toHaveLength(1);
    expect(await harness.gateway.metric('sluice_prompts_stale')).toBe(1);
    rmSync(join(folder, '4.0.0.pack.json'));
    await reload();
    expect(await versions()).toEqual(['3.0.0', ...before]);
    expect(await ready()).toEqual({ status: 'ready' });
    expect(await harness.gateway.metric('sluice_prompts_stale')).toBe(0);
    expect(await harness.gateway.metric('sluice_prompt_reloads_total{result="refused"}')).toBe(1);
  });
});

describe('the weights of versions', () => {
  it('chooses a version by weight for requests without one, and keeps it for a conversation [PACK-7]', async () => {
    const packs = mkdtempSync(join(tmpdir(), 'sluice-packs-'));
    for (const version of ['1.0.0', '1.1.0']) {
      const prompts = { greet: promptFile('greet', { template: `Version ${version}.` }) };
      writeFileSync(join(packs, `${version}.pack.json`), JSON.stringify(packFile({ version, prompts })));
    }
    const canary = { 'shop/greet': { '1.0.0': 1, '1.1.0': 1 } };
    const own = await GatewayHarness.start({
      config: { middleware: { ...ONE_TRY, template: { source: packs, canary } } },
    });
    const versionOf = async (body: object): Promise<string> => {
      own.says('Hello');
      const { body: response } = await own.post({ input: 'Hi', ...body });
      return (response['sluice'] as { prompt: { version: string } }).prompt.version;
    };
    const turns = { '1.0.0': 0, '1.1.0': 0 } as Record<string, number>;
    const seen = async (body: object): Promise<string> => {
      const version = await versionOf(body);
      turns[version] = (turns[version] ?? 0) + 1;
      return version;
    };
    const conversations = await Promise.all(Array.from({ length: 20 }, () => own.conversation()));
    const chosen = new Set<string>();
    for (const conversation of conversations) {
      const version = await seen({ conversation, prompt: { id: 'greet' } });
      expect(await seen({ conversation, prompt: { id: 'greet' } })).toBe(version);
      chosen.add(version);
    }
    expect(chosen.size).toBe(2);
    expect(await seen({ prompt: { id: 'greet', version: '1.0.0' } })).toBe('1.0.0');
    for (const [version, count] of Object.entries(turns)) {
      const series = `sluice_prompt_turns_total{prompt="shop/greet",version="${version}",source="live",outcome="completed"}`;
      expect(await own.gateway.metric(series)).toBe(count);
    }
    await own.close();
    rmSync(packs, { recursive: true });
  });

  it('refuses to start with weights of a version that is not loaded [PACK-7]', async () => {
    const template = { source: folder, canary: { 'shop/open': { '9.0.0': 1 } } };
    await expect(startGateway({ config: { provider: { type: 'demo' }, middleware: { template } } })).rejects.toThrow(
      'unable to find version "9.0.0" of the prompt shop/open',
    );
  });
});

describe('a candidate version', () => {
  it('tries a candidate version on ended turns, and shows clients no trace of it [PACK-6]', async () => {
    const packs = mkdtempSync(join(tmpdir(), 'sluice-packs-'));
    for (const version of ['1.0.0', '2.0.0']) {
      const prompts = { greet: promptFile('greet', { template: `Version ${version}.` }) };
      writeFileSync(join(packs, `${version}.pack.json`), JSON.stringify(packFile({ version, prompts })));
    }
    const canary = { 'shop/greet': { '1.0.0': 1 } };
    const shadow = { 'shop/greet': { version: '2.0.0', sample: 1 } };
    const own = await GatewayHarness.start({
      config: { middleware: { ...ONE_TRY, template: { source: packs, canary, shadow } } },
    });
    const conversation = await own.conversation();
    own.provider.answerWith((request) =>
      textAnswer([promptOf(request).includes('system: Version 2.0.0.') ? 'The other answer' : 'The live answer']),
    );
    const client = await own.connect();
    const frames = await client.run({ conversation, input: 'Hi', prompt: { id: 'greet' } });
    const series = 'sluice_prompt_turns_total{prompt="shop/greet",version="2.0.0",source="shadow",outcome="completed"}';
    await own.provider.request(1);
    const deadline = Date.now() + 20_000;
    while ((await own.gateway.metric(series)) < 1 && Date.now() < deadline) await new Promise(setImmediate);
    expect(await own.gateway.metric(series)).toBe(1);
    expect(own.provider.requests.map((request) => promptOf(request))).toEqual([
      ['system: Version 1.0.0.', 'user: Hi'],
      ['system: Version 2.0.0.', 'user: Hi'],
    ]);

    const live = terminalOf(frames);
    expect(live.sluice.prompt).toEqual({ pack: 'shop', name: 'greet', version: '1.0.0' });
    const { body: items } = await own.api(`/v1/conversations/${conversation}/items`);
    expect(items['data']).toHaveLength(2);
    expect(JSON.stringify([frames, items, own.gateway.lines])).not.toContain('other answer');
    expect((await own.api(`/v1/responses/${live.id}`)).body).toEqual(JSON.parse(JSON.stringify(live)));
    expect(await own.gateway.metric('sluice_requests_total{status="success"}')).toBe(1);
    // No event of another response came between.
    expect(await client.settle()).toHaveLength(1);
    await own.close();
    rmSync(packs, { recursive: true });
  });

  it('refuses to start with a candidate version that is not loaded', async () => {
    const template = { source: folder, shadow: { 'shop/open': { version: '9.0.0' } } };
    await expect(startGateway({ config: { provider: { type: 'demo' }, middleware: { template } } })).rejects.toThrow(
      'unable to find version "9.0.0" of the prompt shop/open',
    );
  });
});
