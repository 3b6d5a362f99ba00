/* The Vercel AI SDK with its OpenAI-compatible provider, unmodified, against chat completions. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, type LanguageModel, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { collect, spoken } from './official.js';

let gateway: TestGateway;
let model: LanguageModel;
beforeAll(async () => {
  gateway = await startGateway({
    config: {
      middleware: {
        validator: { enabled: true, banned_words: ['forbidden'] },
        provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } },
      },
    },
  });
  const sluice = createOpenAICompatible({
    name: 'sluice',
    baseURL: `${gateway.url}/v1`,
    apiKey: 'sk-test',
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  model = sluice('demo');
});
afterAll(() => gateway.close());

const FIVE = 'demo: deltas=5 interval=0ms text=numbers';
const weather = (asked: unknown[]) => ({
  get_weather: tool({
    description: 'The weather of a city',
    inputSchema: z.object({ city: z.string() }),
    execute: (input) => {
      asked.push(input);
      return 'sunny';
    },
  }),
});
const CALL = 'demo: tool=get_weather args={"city":"Paris"}';

describe('the AI SDK [CHAT-10]', () => {
  it('generates text, with usage and a reason to end [CHAT-1]', async () => {
    const { text, usage, finishReason } = await generateText({ model, prompt: FIVE, instructions: 'Be brief.' });
    expect(text).toBe(spoken(5));
    expect(usage.outputTokens).toBe(5);
    expect(finishReason).toBe('stop');
  });

  it('streams text [CHAT-2]', async () => {
    const result = streamText({ model, prompt: FIVE });
    expect((await collect(result.textStream)).join('')).toBe(spoken(5));
    expect((await result.usage).outputTokens).toBe(5);
  });

  it('calls tools in steps, generated and streamed [CHAT-6]', async () => {
    const asked: unknown[] = [];
    const tools = weather(asked);
    const generated = await generateText({ model, prompt: CALL, tools, stopWhen: stepCountIs(3) });
    expect(generated.steps.length).toBe(2);
    expect(generated.text).not.toBe('');
    const streamed = streamText({ model, prompt: CALL, tools, stopWhen: stepCountIs(3) });
    expect((await collect(streamed.textStream)).join('')).not.toBe('');
    expect(asked).toEqual([{ city: 'Paris' }, { city: 'Paris' }]);
  });

  it('gets an object that follows a schema', async () => {
    const schema = z.object({ city: z.string(), degrees: z.number().int() });
    const { output } = await generateText({ model, prompt: 'What is the weather?', output: Output.object({ schema }) });
    expect(schema.safeParse(output).success).toBe(true);
  });

  it('cancels the turn when the AI SDK aborts its request [CHAT-8]', async () => {
    const cancelled = (): Promise<number> => gateway.metric('sluice_requests_total{status="cancelled"}');
    const before = await cancelled();
    const abort = new AbortController();
    const result = streamText({
      model,
      prompt: 'demo: hang after=2 text=numbers',
      abortSignal: abort.signal,
      onError: () => undefined,
    });
    const types: string[] = [];
    for await (const part of result.fullStream) {
      types.push(part.type);
      if (part.type === 'text-delta') abort.abort();
    }
    expect(types).toContain('abort');
    for (let tries = 0; (await cancelled()) === before && tries < 1_000; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await cancelled()).toBe(before + 1);
  });

  it('receives failures before and inside a stream [CHAT-3]', async () => {
    const prompt = 'demo: error=provider_refused';
    const thrown: unknown = await generateText({ model, prompt, maxRetries: 0 }).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(APICallError);
    expect(thrown).toMatchObject({ statusCode: 502, message: expect.stringMatching(/^unable to/u) });

    const errors: unknown[] = [];
    const broken = streamText({
      model,
      prompt: 'demo: error=provider_error after=2 text=numbers',
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    const parts = await collect(broken.fullStream);
    expect(parts.map((part) => part.type)).toContain('error');
    expect(errors).toHaveLength(1);
    expect(JSON.stringify(errors[0]) + String(errors[0])).toContain('unable to');
  });

  it('receives the refusal of a guardrail [CHAT-4]', async () => {
    const { finishReason, text } = await generateText({ model, prompt: 'a forbidden word' });
    expect(finishReason).toBe('content-filter');
    expect(text).toContain('not allowed');
  });
});
