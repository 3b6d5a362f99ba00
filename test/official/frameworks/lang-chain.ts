/*
 * LangChain's ChatOpenAI, unmodified, over chat completions and over responses, with the loop of
 * tools that its documentation shows.
 */

import { type AIMessageChunk, type BaseMessage, HumanMessage, type ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';
import { type Dialogue, type Framework, isAbort, type Question, WEATHER } from './framework.js';

const weather = tool(WEATHER.run, {
  name: WEATHER.name,
  description: WEATHER.description,
  schema: z.object({ city: z.string() }),
});

export const LANG_CHAIN: readonly Framework[] = [false, true].map((useResponsesApi) => ({
  name: `LangChain ChatOpenAI, ${useResponsesApi ? 'responses' : 'chat'}`,
  abortEndsTurn: !useResponsesApi,
  // It knows no event `response.failed`.
  ...(useResponsesApi ? { mistake: 'ignores a failed stream' as const } : {}),
  open: async ({ url }, settings = {}) =>
    new ChainDialogue(
      new ChatOpenAI({
        model: 'gpt-5.1',
        apiKey: 'sk-test',
        useResponsesApi,
        ...settings,
        configuration: { baseURL: `${url}/v1` },
      }).bindTools([weather]),
    ),
}));

type Model = ReturnType<ChatOpenAI['bindTools']>;

class ChainDialogue implements Dialogue {
  readonly #messages: BaseMessage[] = [];

  constructor(private readonly model: Model) {}

  async ask(question: Question): Promise<string> {
    this.#messages.push(new HumanMessage(question.text));
    for (;;) {
      const answer = await this.#call(question);
      if (answer === undefined) return '';
      this.#messages.push(answer);
      const calls = answer.tool_calls ?? [];
      if (calls.length === 0) return answer.text;
      // The cast: a tool that receives a call answers with a message.
      for (const call of calls)
        this.#messages.push((await weather.invoke({ ...call, type: 'tool_call' })) as ToolMessage);
    }
  }

  async #call({ stream, onText, signal }: Question): Promise<AIMessageChunk | undefined> {
    const options = signal === undefined ? {} : { signal };
    if (!stream) return this.model.invoke(this.#messages, options);
    let whole: AIMessageChunk | undefined;
    try {
      for await (const chunk of await this.model.stream(this.#messages, options)) {
        whole = whole === undefined ? chunk : whole.concat(chunk);
        onText?.(whole.text);
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
    return whole;
  }
}
