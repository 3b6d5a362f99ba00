/*
 * A handoff from one agent to another in the OpenAI Agents SDK, unmodified, in each of its modes.
 */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent, MemorySession, OpenAIProvider, Runner } from '@openai/agents';
import OpenAI from 'openai';
import { type FakeAnswer, type FakeRequest, textAnswer } from '../support/fake-openai-server.js';
import { GatewayHarness } from '../support/gateway-harness.js';
import { callAnswer } from './frameworks/script.js';

let harness: GatewayHarness;
beforeAll(async () => {
  harness = await GatewayHarness.start({ config: { clients: { models: ['gpt-5.6-luna'] } } });
  harness.provider.answerWith(transferOnce);
});
afterAll(() => harness.close());

/** The front desk transfers every question of a user. */
function transferOnce({ body }: FakeRequest, index: number): FakeAnswer {
  const { role, content } = body.messages.at(-1) ?? {};
  const atDesk = JSON.stringify(body['tools'] ?? []).includes('transfer_to_Expert');
  if (atDesk && role === 'user') return callAnswer(`call_${index}`, 'transfer_to_Expert', {});
  return textAnswer([`The expert heard ${String(content)}`]);
}

describe.each([
  ['responses', {}],
  ['socket', { useResponsesWebSocket: true }],
  ['chat', { useResponses: false }],
] as const)('Agents SDK, %s', (_mode, options) => {
  it.each([false, true])(
    'hands a dialogue to another agent, which continues it, streamed: %s [CONV-8]',
    async (stream) => {
      const openAIClient = new OpenAI({ baseURL: `${harness.gateway.url}/v1`, apiKey: 'sk-test' });
      const modelProvider = new OpenAIProvider({ ...options, openAIClient });
      const runner = new Runner({ modelProvider, tracingDisabled: true });
      const expert = new Agent({ name: 'Expert', instructions: 'Answer.' });
      const desk = new Agent({ name: 'Desk', instructions: 'Transfer.', handoffs: [expert] });
      const session = new MemorySession();
      const ask = async (agent: typeof desk, text: string): Promise<{ output: unknown; last: string | undefined }> => {
        const result = stream
          ? await runner.run(agent, text, { session, stream: true })
          : await runner.run(agent, text, { session });
        if ('completed' in result) await result.completed;
        return { output: result.finalOutput, last: result.lastAgent?.name };
      };
      expect(await ask(desk, 'Help')).toEqual({
        output: 'The expert heard {"assistant":"Expert"}',
        last: 'Expert',
      });
      expect(await ask(expert, 'More')).toEqual({ output: 'The expert heard More', last: 'Expert' });
      await modelProvider.close();
    },
  );
});
