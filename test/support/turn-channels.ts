/*
 * One turn through each of the five ways that clients have: Responses over SSE, socket and JSON,
 * chat completions streamed and whole. Each gives the same facts, so that one expectation fits all.
 * Checks what holds for every turn: numbers without a gap, one terminal event, and a terminal whose
 * text is the deltas joined.
 */

import { isTerminalFrame, TestSocket } from './socket.js';

export interface TurnFacts {
  readonly outcome: 'completed' | 'incomplete' | 'failed';
  readonly reason: string | undefined;
  readonly code: string | undefined;
  /** Undefined where the channel cannot carry it: a failed chat completion that is not streamed. */
  readonly text: string | undefined;
  readonly reasoning: string | undefined;
  /** Undefined if the channel does not distinguish a summary from reasoning. */
  readonly summary: string | undefined;
  readonly calls: readonly { readonly name: string; readonly arguments: string; readonly id: string }[] | undefined;
  readonly usage: readonly [number, number] | undefined;
  readonly estimated: boolean | undefined;
  /** Of a chat completion that is not streamed. */
  readonly http?: { readonly status: number; readonly headers: Headers };
}

interface Target {
  readonly url: string;
  readonly socketUrl: string;
}

export type Channel = (target: Target, input: string, fields?: object) => Promise<TurnFacts>;

export const CHANNELS: Readonly<Record<string, Channel>> = {
  'Responses over SSE': async ({ url }, input, fields = {}) => {
    const answer = await post(`${url}/v1/responses`, { input, stream: true, store: false, ...fields });
    if (!answer.ok) return refused(answer);
    return factsOfEvents(eventsIn(sseData(await answer.text())));
  },
  'Responses over a socket': async ({ socketUrl }, input, fields = {}) => {
    const socket = await TestSocket.open(socketUrl);
    socket.send({ type: 'response.create', input, store: false, ...fields });
    const last = await socket.next((frame) => isTerminalFrame(frame) || frame.type === 'error');
    socket.close();
    if (last.type === 'error') throw new Error(`the gateway refused the request: ${JSON.stringify(last)}`);
    return factsOfEvents(
      socket.frames.filter((frame) => 'sequence_number' in frame).map((frame) => frame as unknown as WireEvent),
    );
  },
  'Responses as JSON': async ({ url }, input, fields = {}) => {
    const answer = await post(`${url}/v1/responses`, { input, store: false, ...fields });
    if (!answer.ok) return refused(answer);
    return factsOfResponse((await answer.json()) as WireResponse);
  },
  'streamed chat completions': async ({ url }, input, fields = {}) => {
    const messages = [{ role: 'user', content: input }];
    const stream = { stream: true, stream_options: { include_usage: true } };
    const answer = await post(`${url}/v1/chat/completions`, { model: 'recorded', messages, ...stream, ...fields });
    if (!answer.ok) return refused(answer);
    return factsOfChunks(sseData(await answer.text()));
  },
  'chat completions': async ({ url }, input, fields = {}) => {
    const messages = [{ role: 'user', content: input }];
    const answer = await post(`${url}/v1/chat/completions`, { model: 'recorded', messages, ...fields });
    if (!answer.ok) return refused(answer);
    // The casts here and above: the gateway's own shapes, which other suites check field by field.
    return factsOfCompletion((await answer.json()) as WireCompletion);
  },
};

function post(url: string, body: object): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

function sseData(text: string): string[] {
  return text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
}

/** Events in the data of a stream, without its end marker. */
function eventsIn(data: readonly string[]): WireEvent[] {
  return data.filter((one) => one !== '[DONE]').map((one) => JSON.parse(one) as WireEvent);
}

async function refused(answer: Response): Promise<TurnFacts> {
  const { error } = (await answer.json()) as { error: { code: string } };
  return {
    ...NOTHING_KNOWN,
    outcome: 'failed',
    code: error.code,
    http: { status: answer.status, headers: answer.headers },
  };
}

const NOTHING_KNOWN = {
  reason: undefined,
  code: undefined,
  text: undefined,
  reasoning: undefined,
  summary: undefined,
  calls: undefined,
  usage: undefined,
  estimated: undefined,
} as const;

interface WireItem {
  readonly type: string;
  readonly name: string;
  readonly arguments: string;
  readonly call_id: string;
  readonly content?: readonly { readonly type: string; readonly text: string }[];
  readonly summary?: readonly { readonly type: string; readonly text: string }[];
}
interface WireResponse {
  readonly status: string;
  readonly error: { readonly code: string } | null;
  readonly incomplete_details: { readonly reason: string } | null;
  readonly output_text: string;
  readonly output: readonly WireItem[];
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number } | null;
  readonly sluice: { readonly usage_estimated: boolean };
}
interface WireEvent {
  readonly type: string;
  readonly sequence_number: number;
  readonly delta?: string;
  readonly response: WireResponse;
}

function factsOfResponse(response: WireResponse): TurnFacts {
  const { status, error, incomplete_details: details, output, usage, sluice } = response;
  return {
    // The cast: the statuses of an ended response, of which no case here is cancelled.
    outcome: status as TurnFacts['outcome'],
    reason: details?.reason,
    code: error?.code,
    text: response.output_text,
    reasoning: output
      .filter(({ type }) => type === 'reasoning')
      .flatMap(({ content = [] }) => content.map(({ text }) => text))
      .join(''),
    summary: output.flatMap(({ summary = [] }) => summary.map(({ text }) => text)).join(''),
    calls: output
      .filter(({ type }) => type === 'function_call')
      .map(({ name, arguments: args, call_id: id }) => ({ name, arguments: args, id })),
    usage: usage === null ? undefined : [usage.input_tokens, usage.output_tokens],
    estimated: sluice.usage_estimated,
  };
}

function factsOfEvents(events: readonly WireEvent[]): TurnFacts {
  const numbers = events.map((event) => event.sequence_number);
  if (numbers.some((number, i) => number !== i)) throw new Error(`a gap in the numbers: ${numbers.join()}`);
  const terminals = events.filter((event) => isTerminalFrame({ type: event.type }));
  const last = events.at(-1);
  if (terminals.length !== 1 || last === undefined || terminals[0] !== last)
    throw new Error('not exactly one terminal event at the end');
  const joined = (type: string): string =>
    events.map((event) => (event.type === type ? (event.delta ?? '') : '')).join('');
  const facts = factsOfResponse(last.response);
  if (facts.text !== joined('response.output_text.delta'))
    throw new Error('the text of the terminal is not its deltas joined');
  if (facts.reasoning !== joined('response.reasoning_text.delta'))
    throw new Error('the reasoning of the terminal is not its deltas joined');
  if (facts.summary !== joined('response.reasoning_summary_text.delta'))
    throw new Error('the summary of the terminal is not its deltas joined');
  return facts;
}

interface WireMessage {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly {
    readonly index?: number;
    readonly id?: string;
    readonly function: { readonly name?: string; readonly arguments?: string };
  }[];
}
interface ChatUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}
interface WireCompletion {
  readonly error?: { readonly code: string };
  readonly choices: readonly {
    readonly message: WireMessage;
    readonly delta: WireMessage;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: ChatUsage | null;
  readonly sluice?: { readonly usage_estimated: boolean };
}

const CHAT_INCOMPLETE: Readonly<Record<string, string>> = {
  length: 'max_output_tokens',
  content_filter: 'content_filter',
};

function factsOfCompletion({ choices, usage, sluice }: WireCompletion): TurnFacts {
  const choice = choices[0];
  if (choice === undefined) throw new Error('a completion without a choice');
  const { message, finish_reason: finish } = choice;
  const reason = CHAT_INCOMPLETE[finish ?? ''];
  return {
    outcome: reason === undefined ? 'completed' : 'incomplete',
    reason,
    code: undefined,
    text: message.content ?? '',
    reasoning: message.reasoning_content ?? '',
    summary: undefined,
    calls: (message.tool_calls ?? []).map((call) => ({
      name: call.function.name ?? '',
      arguments: call.function.arguments ?? '',
      id: call.id ?? '',
    })),
    usage: usageOf(usage),
    estimated: sluice?.usage_estimated,
  };
}

function factsOfChunks(data: readonly string[]): TurnFacts {
  let content = '';
  let reasoning_content = '';
  let finish_reason: string | null = null;
  let usage: ChatUsage | null = null;
  let sluice: { usage_estimated: boolean } | undefined;
  let code: string | undefined;
  const calls: { id: string; function: { name: string; arguments: string } }[] = [];
  for (const json of data) {
    if (json === '[DONE]') continue;
    const chunk = JSON.parse(json) as WireCompletion;
    if (chunk.error !== undefined) {
      code = chunk.error.code;
      continue;
    }
    usage = chunk.usage ?? usage;
    sluice = chunk.sluice ?? sluice;
    const choice = chunk.choices[0];
    if (choice === undefined) continue;
    content += choice.delta.content ?? '';
    reasoning_content += choice.delta.reasoning_content ?? '';
    finish_reason = choice.finish_reason ?? finish_reason;
    for (const piece of choice.delta.tool_calls ?? []) {
      const call = (calls[piece.index ?? 0] ??= { id: '', function: { name: '', arguments: '' } });
      call.id += piece.id ?? '';
      call.function.name += piece.function.name ?? '';
      call.function.arguments += piece.function.arguments ?? '';
    }
  }
  const message = { content, reasoning_content, tool_calls: calls };
  const facts = factsOfCompletion({
    choices: [{ message, delta: message, finish_reason }],
    usage,
    ...(sluice === undefined ? {} : { sluice }),
  });
  if (code === undefined) return facts;
  return { ...facts, outcome: 'failed', reason: undefined, code, usage: undefined, estimated: undefined };
}

function usageOf(usage: ChatUsage | null | undefined): readonly [number, number] | undefined {
  return usage === null || usage === undefined ? undefined : [usage.prompt_tokens, usage.completion_tokens];
}
