/*
 * The OpenAI Agents SDK, unmodified, in each of its modes: Responses over HTTP and over WebSocket,
 * chat completions.
 */

import {
  Agent,
  MemorySession,
  ModelRefusalError,
  OpenAIConversationsSession,
  OpenAIProvider,
  type OpenAIProviderOptions,
  Runner,
  type Session,
  setTracingDisabled,
  tool,
} from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';
import { type Dialogue, type Framework, isAbort, type Question, WEATHER } from './framework.js';

/** Its tracing reports to OpenAI itself, which no test may do. */
setTracingDisabled(true);

const weather = tool({
  name: WEATHER.name,
  description: WEATHER.description,
  parameters: z.object({ city: z.string() }),
  execute: WEATHER.run,
});

/**
 * In a conversation the next question waits for a turn that runs, so leaving a stream must end its
 * turn.
 */
const agentsClient = (url: string, memory: Memory): OpenAI => {
  const defaultQuery = memory === 'conversation' ? { on_disconnect: 'cancel' } : {};
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-test', defaultQuery });
};

/** Who keeps the history: a session of the SDK, or the gateway by id. */
type Memory = 'session' | 'conversations session' | 'conversation' | 'previous response';

export function agentsSdk(mode: string, memory: Memory, options: OpenAIProviderOptions = {}): Framework {
  return {
    name: `Agents SDK, ${mode}, ${memory}`,
    abortEndsTurn: mode === 'chat' || memory === 'conversation',
    async open({ url }) {
      const client = agentsClient(url, memory);
      const provider = new OpenAIProvider({ ...options, openAIClient: client });
      const runner = new Runner({ modelProvider: provider });
      const agent = new Agent({ name: 'Helper', instructions: 'Be brief.', tools: [weather] });
      return new AgentDialogue(agent, runner, await keeper(memory, client), () => provider.close());
    },
  };
}

interface Keeper {
  readonly session?: Session;
  conversationId?: string;
  previousResponseId?: string;
  readonly chains: boolean;
}

async function keeper(memory: Memory, client: OpenAI): Promise<Keeper> {
  const chains = memory === 'previous response';
  if (memory === 'session') return { session: new MemorySession(), chains };
  if (memory === 'conversations session') return { session: new OpenAIConversationsSession({ client }), chains };
  if (memory === 'conversation') return { conversationId: (await client.conversations.create()).id, chains };
  return { chains };
}

class AgentDialogue implements Dialogue {
  constructor(
    private readonly agent: Agent,
    private readonly runner: Runner,
    private readonly keeper: Keeper,
    readonly close: () => Promise<void>,
  ) {}

  async ask(question: Question): Promise<string> {
    try {
      return await this.#run(question);
    } catch (error) {
      // A refusal is an error to the SDK, and an answer to the user.
      if (error instanceof ModelRefusalError) return error.refusal;
      throw error;
    }
  }

  async #run({ text, stream, onText, signal }: Question): Promise<string> {
    const { chains, ...kept } = this.keeper;
    const options = { ...kept, ...(signal === undefined ? {} : { signal }) };
    if (!stream) {
      const result = await this.runner.run(this.agent, text, options);
      if (chains) this.keeper.previousResponseId = result.lastResponseId ?? '';
      return result.finalOutput ?? '';
    }
    let soFar = '';
    try {
      const result = await this.runner.run(this.agent, text, { ...options, stream: true });
      for await (const piece of result.toTextStream()) {
        soFar += piece;
        onText?.(soFar);
      }
      await result.completed;
      if (chains && !result.cancelled) this.keeper.previousResponseId = result.lastResponseId ?? '';
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
    return soFar;
  }
}
