/* LangChain's ChatOpenAI, unmodified, against chat completions. */

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, type ChatOpenAIFields } from '@langchain/openai';
import { z } from 'zod';
import { type TestGateway, startGateway } from '../support/gateway.js';
import { spoken } from './official.js';

let gateway: TestGateway;
const chat = (fields: ChatOpenAIFields = {}): ChatOpenAI =>
  new ChatOpenAI({
    model: 'demo',
    apiKey: 'sk-test',
    maxRetries: 0,
    configuration: { baseURL: `${gateway.url}/v1` },
    ...fields,
  });
beforeAll(async () => {
  gateway = await startGateway({
    config: {
      middleware: {
        validator: { enabled: true, banned_words: ['forbidden'] },
        provider: { retry: { max_attempts: 1 }, breaker: { failures: 1_000 } },
      },
    },
  });
});
afterAll(() => gateway.close());

const FIVE = 'demo: deltas=5 interval=0ms text=numbers';
/** Its types lose the usage; it is there. */
const outputTokens = (message: { readonly usage_metadata?: unknown }): number =>
  (message.usage_metadata as { output_tokens: number } | undefined)?.output_tokens ?? 0;
const weather = tool(({ city }) => `sunny in ${city}`, {
  name: 'get_weather',
  description: 'The weather of a city',
  schema: z.object({ city: z.string() }),
});

describe("LangChain's ChatOpenAI [CHAT-10]", () => {
  it('invokes, with usage and a finish reason [CHAT-1]', async () => {
    const answer = await chat({ temperature: 0.5, maxTokens: 100 }).invoke([
      new SystemMessage('Be brief.'),
      new HumanMessage('Hello'),
      new AIMessage('Hello.'),
      new HumanMessage(FIVE),
    ]);
    expect(answer.text).toBe(spoken(5));
    expect(outputTokens(answer)).toBe(5);
    expect(answer.response_metadata).toMatchObject({ finish_reason: 'stop' });
  });

  it('streams [CHAT-2]', async () => {
    let text = '';
    let tokens = 0;
    for await (const chunk of await chat().stream(FIVE)) {
      text += chunk.text;
      tokens += outputTokens(chunk);
    }
    expect([text, tokens]).toEqual([spoken(5), 5]);
  });

  it('binds tools, and continues from their results [CHAT-6]', async () => {
    const model = chat().bindTools([weather]);
    const asked = new HumanMessage('demo: tool=get_weather args={"city":"Paris"}');
    const called = await model.invoke([asked]);
    expect(called.tool_calls).toMatchObject([{ name: 'get_weather', args: { city: 'Paris' } }]);
    const [call] = called.tool_calls ?? [];
    if (call === undefined) throw new Error('no call');
    const result: unknown = await weather.invoke({ ...call, type: 'tool_call' });
    expect(result).toBeInstanceOf(ToolMessage);
    // The cast is safe: the line above checked it.
    const answer = await model.invoke([asked, called, result as ToolMessage]);
    expect(answer.text).not.toBe('');

    let streamed: { tool_calls?: unknown } | undefined;
    for await (const chunk of await model.stream([asked])) {
      streamed = streamed === undefined ? chunk : chunk.concat(chunk);
      if ((chunk.tool_call_chunks?.length ?? 0) > 0) expect(chunk.tool_call_chunks?.[0]?.index).toBe(0);
    }
    expect(streamed).toBeDefined();
  });

  it('gets an object that follows a schema', async () => {
    const schema = z.object({ city: z.string(), degrees: z.number() });
    for (const method of ['jsonSchema', 'functionCalling'] as const) {
      const answer = await chat()
        .withStructuredOutput(schema, { method, name: 'weather' })
        .invoke('What is the weather?');
      expect(schema.safeParse(answer).success).toBe(true);
    }
  });

  it('cancels the turn when LangChain aborts its request [CHAT-8]', async () => {
    const cancelled = (): Promise<number> => gateway.metric('sluice_requests_total{status="cancelled"}');
    const before = await cancelled();
    const abort = new AbortController();
    const stream = await chat().stream('demo: hang after=2 text=numbers', { signal: abort.signal });
    const reading = (async () => {
      for await (const chunk of stream) if (chunk.text !== '') abort.abort();
    })();
    await expect(reading).rejects.toThrow(/abort/iu);
    for (let tries = 0; (await cancelled()) === before && tries < 1_000; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await cancelled()).toBe(before + 1);
  });

  it('receives failures before and inside a stream [CHAT-3]', async () => {
    await expect(chat().invoke('demo: error=provider_refused')).rejects.toMatchObject({ status: 502 });
    const reading = (async () => {
      for await (const chunk of await chat().stream('demo: error=provider_error after=2 text=numbers')) {
        expect(chunk).toBeDefined();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: 'provider_error' });
  });

  it('receives the refusal of a guardrail [CHAT-4]', async () => {
    const answer = await chat().invoke('a forbidden word');
    expect(answer.response_metadata).toMatchObject({ finish_reason: 'content_filter' });
    // It has no place for the refusal's words.
    expect(answer.text).toBe('');
  });
});
