/*
 * Frameworks on top of the official client, unmodified and in their default settings, before a
 * provider that keeps OpenAI's rule on tool messages. One set of scenarios, one adapter for each
 * framework.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type FakeRequest } from '../support/fake-openai-server.js';
import { GatewayHarness, ONE_TRY } from '../support/gateway-harness.js';
import { agentsSdk } from './frameworks/agents-sdk.js';
import { AI_SDK } from './frameworks/ai-sdk.js';
import { type Dialogue, type DialogueSettings, type Framework } from './frameworks/framework.js';
import { LANG_CHAIN } from './frameworks/lang-chain.js';
import { answerByQuestion } from './frameworks/script.js';

const FRAMEWORKS: readonly Framework[] = [
  agentsSdk('responses', 'session'),
  agentsSdk('responses', 'conversations session'),
  agentsSdk('responses', 'conversation'),
  agentsSdk('responses', 'previous response'),
  agentsSdk('socket', 'session', { useResponsesWebSocket: true }),
  agentsSdk('socket', 'previous response', { useResponsesWebSocket: true }),
  agentsSdk('chat', 'session', { useResponses: false }),
  ...AI_SDK,
  ...LANG_CHAIN,
];

/**
 * The default model of the Agents SDK, and models that AI SDK and LangChain take for one that
 * reasons and a plain one.
 */
const MODELS = ['gpt-5.6-luna', 'gpt-5.1', 'gpt-4.1'];

let harness: GatewayHarness;
let dialogue: Dialogue;
let from: number;
beforeAll(async () => {
  const validator = { enabled: true, banned_words: ['forbidden'], max_length: 40 };
  harness = await GatewayHarness.start({
    config: { middleware: { validator, ...ONE_TRY }, clients: { models: MODELS } },
  });
  harness.provider.answerWith(answerByQuestion);
});
beforeEach(() => void (from = harness.provider.requests.length));
afterEach(() => dialogue.close?.());
afterAll(() => harness.close());

/** What the provider was sent last, a word a message. */
function sent(): string[] {
  const { messages = [] } = harness.provider.requests.at(-1)?.body ?? {};
  return messages.filter(({ role }) => role !== 'system' && role !== 'developer').map(inWords);
}

function inWords({ role, content, tool_calls: calls }: FakeRequest['body']['messages'][number]): string {
  return [role, content ?? '', calls === undefined ? '' : '(calls)'].filter((word) => word !== '').join(' ');
}

describe.each(FRAMEWORKS.map((framework) => [framework.name, framework] as const))('%s', (_name, framework) => {
  const { mistake } = framework;
  const open = async (settings?: DialogueSettings): Promise<void> =>
    void (dialogue = await framework.open(harness.gateway, settings));
  const ask = (text: string, stream = false): Promise<string> => dialogue.ask({ text, stream });

  it.each([false, true])('holds three turns with tools, streamed: %s [CONV-8]', async (stream) => {
    await open();
    expect(await ask('weather in Paris', stream)).toBe('It is sunny in Paris');
    expect(await ask('Thanks', stream)).toBe('You said Thanks');
    expect(await ask('weather in Rome', stream)).toBe('It is sunny in Rome');
    expect(await ask('Good bye', stream)).toBe('You said Good bye');
    expect(sent()).toEqual([
      'user weather in Paris',
      'assistant (calls)',
      'tool sunny in Paris',
      'assistant It is sunny in Paris',
      'user Thanks',
      'assistant You said Thanks',
      'user weather in Rome',
      'assistant (calls)',
      'tool sunny in Rome',
      'assistant It is sunny in Rome',
      'user Good bye',
    ]);
  });

  it('answers the next question after an abort in the middle of a stream', async () => {
    await open();
    await ask('Hello');
    const abort = new AbortController();
    const text = await dialogue.ask({
      text: 'hang',
      stream: true,
      onText: (soFar) => void (soFar === 'Half' && abort.abort()),
      signal: abort.signal,
    });
    expect(text).toBe('Half');
    if (framework.abortEndsTurn) {
      expect((await (await harness.provider.request(from + 1)).closed).complete).toBe(false);
    }
    expect(await ask('Are you there?')).toBe('You said Are you there?');
    expect(sent()).toContain('user Hello');
  });

  it.each([false, true])(
    'reports a failed turn as an error, and continues after it, streamed: %s [REST-6]',
    async (stream) => {
      await open({ maxRetries: 0 });
      await ask('Hello');
      const failed = expect(ask('fail', stream));
      if (stream && mistake === 'ignores a failed stream') await failed.resolves.toBe('');
      else await failed.rejects.toThrow();
      expect(harness.provider.requests.length).toBe(from + 2);
      expect(await ask('Are you there?', stream)).toBe('You said Are you there?');
      expect(sent()).toContain('user Hello');
    },
  );

  it.each([false, true])('continues after a refused message, streamed: %s [GUARD-4]', async (stream) => {
    await open();
    await ask('Hello', stream);
    const refused = ask('a forbidden word', stream);
    if (!stream && mistake === 'throws on a refusal that is not streamed') await expect(refused).rejects.toThrow();
    else await refused;
    expect(await ask('Are you there?', stream)).toBe('You said Are you there?');
    expect(sent().join('\n')).not.toContain('forbidden');
    expect(sent()).toContain('user Hello');
  });
});
