/*
 * The Vercel AI SDK 7 and 6, unmodified, with each of its providers that can speak to the gateway.
 */

import { createOpenResponses } from '@ai-sdk/open-responses';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createOpenAI as createOpenAIV3 } from '@ai-sdk/openai-v3';
import * as sdk7 from 'ai';
import * as sdk6 from 'ai-v6';
import { z } from 'zod';
import { type Dialogue, type DialogueSettings, type Framework, isAbort, type Question, WEATHER } from './framework.js';

const apiKey = 'sk-test';
type ModelOf = (url: string) => sdk7.LanguageModel;

const openai7 =
  (model: string): ModelOf =>
  (url) =>
    createOpenAI({ baseURL: `${url}/v1`, apiKey })(model);
const compatible: ModelOf = (url) =>
  createOpenAICompatible({ name: 'sluice', baseURL: `${url}/v1`, apiKey })('gpt-5.1');
const openResponses: ModelOf = (url) =>
  createOpenResponses({ name: 'sluice', url: `${url}/v1/responses`, apiKey })('gpt-5.1');
// The cast: version 7 runs models of version 6's specification, which its types leave out; here
// version 6 itself runs it.
const openai6 = (model: string): ModelOf =>
  ((url: string) => createOpenAIV3({ baseURL: `${url}/v1`, apiKey })(model)) as unknown as ModelOf;

// The cast: what is used here is the same in both versions.
const version6 = sdk6 as unknown as typeof sdk7;

export const AI_SDK: readonly Framework[] = [
  aiSdk('AI SDK 7, @ai-sdk/openai', sdk7, openai7('gpt-5.1'), false),
  aiSdk('AI SDK 6, @ai-sdk/openai', version6, openai6('gpt-5.1'), false),
  // For a model that does not reason, both name former answers by item_reference.
  aiSdk('AI SDK 7, @ai-sdk/openai, plain model', sdk7, openai7('gpt-4.1'), false),
  aiSdk('AI SDK 6, @ai-sdk/openai, plain model', version6, openai6('gpt-4.1'), false),
  aiSdk('AI SDK 7, @ai-sdk/openai-compatible', sdk7, compatible, true),
  {
    ...aiSdk('AI SDK 7, @ai-sdk/open-responses', sdk7, openResponses, false),
    mistake: 'throws on a refusal that is not streamed',
  },
];

function aiSdk(name: string, sdk: typeof sdk7, modelOf: ModelOf, abortEndsTurn: boolean): Framework {
  return { name, abortEndsTurn, open: async ({ url }, settings = {}) => new AiDialogue(sdk, modelOf(url), settings) };
}

class AiDialogue implements Dialogue {
  readonly #messages: sdk7.ModelMessage[] = [];
  readonly #tools: sdk7.ToolSet;

  constructor(
    private readonly sdk: typeof sdk7,
    private readonly model: sdk7.LanguageModel,
    private readonly settings: DialogueSettings,
  ) {
    const inputSchema = z.object({ city: z.string() });
    this.#tools = {
      [WEATHER.name]: sdk.tool({ description: WEATHER.description, inputSchema, execute: WEATHER.run }),
    };
  }

  async ask({ text, stream, onText, signal }: Question): Promise<string> {
    this.#messages.push({ role: 'user', content: text });
    const call = {
      model: this.model,
      messages: this.#messages,
      tools: this.#tools,
      stopWhen: this.sdk.stepCountIs(5),
      ...this.settings,
      ...(signal === undefined ? {} : { abortSignal: signal }),
    };
    if (!stream) {
      const result = await this.sdk.generateText(call);
      this.#messages.push(...(await said(result)));
      return result.text;
    }
    let failure: unknown;
    let soFar = '';
    const result = this.sdk.streamText({ ...call, onError: ({ error }) => void (failure = error) });
    for await (const piece of result.textStream) {
      soFar += piece;
      onText?.(soFar);
    }
    if (failure !== undefined && !isAbort(failure)) throw failure;
    if (signal?.aborted === true) this.#messages.push({ role: 'assistant', content: soFar });
    else this.#messages.push(...(await said(result)));
    return soFar;
  }
}

interface Said {
  readonly responseMessages?: PromiseLike<sdk7.ModelMessage[]> | sdk7.ModelMessage[];
  readonly response: PromiseLike<{ messages: sdk7.ModelMessage[] }> | { messages: sdk7.ModelMessage[] };
}

/** The new messages of all steps; in version 6 they are in the response. */
async function said({ responseMessages, response }: Said): Promise<sdk7.ModelMessage[]> {
  return (await responseMessages) ?? (await response).messages;
}
