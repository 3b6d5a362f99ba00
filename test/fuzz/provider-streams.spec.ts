/*
 * Structure-aware fuzzing of what a provider sends: real streams whose chunks are changed, left
 * out, doubled, put in another order and cut at any byte. Whatever comes, a turn ends, its events
 * are numbered without a gap, and its text is what its deltas said.
 */

import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { deltaChunk, type FakeAnswer, FAKE_USAGE, type FakeStep } from '../support/fake-openai-server.js';
import { deltasOf, framesOf, numbersOf, sseMessages, terminalOf, upTo } from '../support/gateway-harness.js';
import { type Frame, isTerminalFrame } from '../support/raw-client.js';
import { mutating, oddString, oddValue, PLANTED } from './arbitraries.js';
import {
  expectKnownAnswer,
  expectKnownError,
  fieldsIn,
  FuzzedGateway,
  naming,
  SERVER_KEY,
  show,
} from './fuzzed-gateway.js';
import { textOf, type Tree, treeOf } from './json-tree.js';
import { casesOf, fuzz, withinMs } from './runs.js';

const CASES = casesOf('streams', 100);
/** A provider can cause every other code, and `server_error` by an error of its own. */
const NEVER: ReadonlySet<string> = new Set(['replica_lost', 'state_unavailable']);
/** Errors of the gateway's own code, as its log names them. */
const BUG = /"type":"(?:Type|Range|Reference|Syntax|Assertion)Error"|unexpected error/u;

let gateway: FuzzedGateway;
beforeAll(async () => {
  gateway = await FuzzedGateway.start();
});
afterAll(async () => expect(await gateway.close()).toBe(0));

const WAYS = ['responses', 'responses stream', 'chat', 'chat stream', 'socket'] as const;
interface Case {
  readonly way: (typeof WAYS)[number];
  readonly answer: FakeAnswer;
  readonly shown: string;
}

const NAMES = [
  ...['choices', 'delta', 'content', 'role', 'finish_reason', 'usage', 'error', 'message', 'index', 'tool_calls', 'id'],
  ...[
    'function',
    'arguments',
    'name',
    'refusal',
    'reasoning_content',
    'reasoning',
    'logprobs',
    'prompt_tokens',
    'object',
  ],
  ...['completion_tokens', 'prompt_tokens_details', 'cached_tokens', 'code', 'type', 'text', 'model', 'extra_content'],
];
const REASONS = ['stop', 'length', 'tool_calls', 'content_filter', 'function_call', 'error', 'STOP', '', 'x'];

function deltas(): fc.Arbitrary<object> {
  const text = fc.oneof(fc.constantFrom('Hello', ` ${PLANTED}`, 'ann@x.example', '\ud83d', '\ude00', ''), fc.string());
  const call = fc.record(
    {
      index: fc.constantFrom(0, 0, 0, 1, 7, -1),
      id: fc.constantFrom('call_1', 'call_1', 'call_2', ''),
      type: fc.constant('function'),
      function: fc.record({ name: fc.constantFrom('f', 'g', ''), arguments: fc.constantFrom('{"a":', '1}', '{}', '') }),
    },
    { requiredKeys: ['function'] },
  );
  const token = fc.record({ token: text, logprob: fc.constantFrom(-0.1, 0, 1), bytes: fc.constant(null) });
  return fc
    .oneof(
      { weight: 5, arbitrary: text.map((content) => deltaChunk({ content })) },
      { weight: 1, arbitrary: text.map((refusal) => deltaChunk({ refusal })) },
      { weight: 1, arbitrary: text.map((reasoning_content) => deltaChunk({ reasoning_content })) },
      { weight: 2, arbitrary: fc.array(call, { maxLength: 2 }).map((tool_calls) => deltaChunk({ tool_calls })) },
      {
        weight: 1,
        arbitrary: token.map((one) => ({
          chunk: { choices: [{ index: 0, delta: {}, logprobs: { content: [one] } }] },
        })),
      },
    )
    .map(({ chunk }) => chunk);
}

/** The events of a stream, changed. */
function streams(): fc.Arbitrary<Buffer> {
  const chunks = fc
    .tuple(fc.array(deltas(), { maxLength: 6 }), fc.constantFrom(...REASONS), fc.boolean())
    .map(([pieces, reason, counted]) => [
      deltaChunk({ role: 'assistant', content: '' }).chunk,
      ...pieces,
      deltaChunk({}, reason).chunk,
      ...(counted ? [{ choices: [], usage: FAKE_USAGE }] : []),
    ]);
  const event = (tree: fc.Arbitrary<Tree>): fc.Arbitrary<string> =>
    fc
      .tuple(
        fc.oneof(
          { weight: 8, arbitrary: fc.constant('data: ') },
          fc.constantFrom('data:', 'data', 'event: error\ndata: ', 'id: 1\ndata: ', ''),
        ),
        tree.map(textOf),
        fc.oneof({ weight: 8, arbitrary: fc.constant('\n\n') }, fc.constantFrom('\r\n\r\n', '\r\r', '\n', '')),
      )
      .map((parts) => parts.join(''));
  const junk = fc.oneof(
    fc.constantFrom(
      ': ping\n\n',
      'data: [DONE]\n\n',
      'data: ping\n\n',
      '\n',
      'data:\n\n',
      '<html>',
      'retry: 1\n\n',
      '\ufeff',
    ),
    oddString,
    event(oddValue),
  );
  const order = fc.array(fc.tuple(fc.nat(20), fc.constantFrom('drop', 'double', 'swap', 'junk'), junk), {
    maxLength: 2,
  });
  const events = chunks.chain((all) =>
    fc.tuple(...all.map((one) => event(mutating(fc.constant(treeOf(one)), NAMES, 1)))),
  );
  const end = fc.oneof({ weight: 5, arbitrary: fc.constant('data: [DONE]\n\n') }, fc.constantFrom('', 'data: [DONE]'));
  const bad = fc.oneof({ weight: 12, arbitrary: fc.constant(-1) }, fc.nat(4_000));
  return fc.tuple(events, order, end, bad).map(([all, changes, last, at]) => {
    const list = changes.reduce((lines, [place, what, text]) => reordered(lines, place, what, text), all);
    const bytes = Buffer.from(list.join('') + last);
    if (at >= 0 && at < bytes.length) bytes[at] = 0xff;
    return bytes;
  });
}

function reordered(lines: readonly string[], place: number, what: string, junk: string): string[] {
  const at = lines.length === 0 ? 0 : place % lines.length;
  const one = lines[at] ?? '';
  if (what === 'drop') return lines.filter((_, i) => i !== at);
  if (what === 'swap') return [...lines.slice(0, at), ...lines.slice(at + 1), one];
  return [...lines.slice(0, at), what === 'double' ? one : junk, ...lines.slice(at)];
}

function answers(): fc.Arbitrary<FakeAnswer & { readonly shown: string }> {
  const type = fc.constantFrom('text/event-stream', 'text/event-stream', 'application/json', 'text/html', 'x');
  const encoding = fc.oneof(
    { weight: 30, arbitrary: fc.constant('identity') },
    fc.constantFrom('gzip', 'br', 'zstd', 'x'),
  );
  const cuts = fc.array(fc.nat(2_000), { maxLength: 4 });
  const ending = fc.oneof(
    { weight: 6, arbitrary: fc.constant<FakeStep[]>([]) },
    fc.constant<FakeStep[]>([{ cut: true }]),
  );
  const stream = fc.tuple(streams(), cuts, ending, type, encoding).map(([bytes, at, last, kind, coding]) => ({
    steps: [...pieces(bytes, at), ...last],
    headers: { 'content-type': kind, ...(coding === 'identity' ? {} : { 'content-encoding': coding }) },
    shown: JSON.stringify([bytes.toString('latin1'), at, last, kind, coding]),
  }));
  const status = fc.constantFrom(
    200,
    201,
    202,
    204,
    206,
    301,
    304,
    400,
    401,
    403,
    404,
    408,
    413,
    422,
    429,
    500,
    502,
    503,
    529,
    599,
  );
  const document = fc.oneof(
    oddValue,
    mutating(
      fc.constant(treeOf({ error: { message: `it says ${PLANTED}`, type: 'x', code: 'rate_limit_exceeded' } })),
      NAMES,
    ),
    mutating(
      fc.constant(treeOf({ choices: [{ message: { content: 'Hello' }, finish_reason: 'stop' }], usage: FAKE_USAGE })),
      NAMES,
    ),
  );
  const wait = fc.constantFrom('1', '0', '-1', '1e9', 'x', 'Wed, 21 Oct 2099 07:28:00 GMT');
  const whole = fc.tuple(status, document, wait).map(([code, tree, after]) => ({
    status: code,
    headers: { 'retry-after': after },
    body: textOf(tree),
    shown: JSON.stringify([code, textOf(tree), after]),
  }));
  return fc.oneof({ weight: 5, arbitrary: stream }, { weight: 1, arbitrary: whole });
}

function pieces(bytes: Buffer, at: readonly number[]): FakeStep[] {
  const cuts = [0, ...at.map((one) => one % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return cuts.slice(1).map((cut, i) => ({ raw: bytes.subarray(cuts[i], cut) }));
}

let number = 0;

async function turn({ way, answer }: Case): Promise<void> {
  const input = `case ${number++}`;
  gateway.answers.set(input, answer);
  try {
    if (way === 'socket') return expectEvents(await overSocket(input));
    const isChat = way.startsWith('chat');
    const ask = isChat ? { messages: [{ role: 'user', content: input }] } : { input };
    const path = isChat ? '/v1/chat/completions' : '/v1/responses';
    const got = await gateway.http({
      method: 'POST',
      path,
      body: JSON.stringify({ ...ask, stream: way.endsWith('stream') }),
    });
    expectKnownAnswer(got, NEVER);
    if (way === 'responses stream' && got.status === 200) expectEvents(framesOf(sseMessages(got.text)));
    if (way === 'responses' && got.status === 200 && fieldsIn(got.text)['status'] === 'failed') {
      throw new Error(`a failed turn got ${show(got)}`);
    }
  } finally {
    gateway.answers.delete(input);
  }
}

async function overSocket(input: string): Promise<Frame[]> {
  const socket = new WebSocket(gateway.process.socketUrl, { headers: { authorization: `Bearer ${SERVER_KEY}` } });
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'response.create', input }));
  const frames: Frame[] = [];
  for await (const [data] of socketMessages(socket)) {
    // A frame of the gateway is an object with a type.
    const frame = fieldsIn(String(data)) as Frame;
    frames.push(frame);
    if (frame.type === 'error') expectKnownError(frame['error'], frame['status'], NEVER);
    if (frame.type === 'error' || isTerminalFrame(frame)) break;
  }
  socket.terminate();
  return frames;
}

/** Messages until the socket closes. */
async function* socketMessages(socket: WebSocket): AsyncGenerator<readonly unknown[], void> {
  const waiting: unknown[][] = [];
  let wake = (): void => undefined;
  let closed = false;
  socket.on('message', (data) => {
    waiting.push([data]);
    wake();
  });
  socket.on('close', () => {
    closed = true;
    wake();
  });
  for (;;) {
    const next = waiting.shift();
    if (next !== undefined) yield next;
    else if (closed) return;
    else await new Promise<void>((resolve) => (wake = resolve));
  }
}

/**
 * @throws unless the events are those of one turn, from its first to its terminal (EV-1, EV-7,
 * EV-8)
 */
function expectEvents(frames: readonly Frame[]): void {
  const shown = JSON.stringify(frames).slice(0, 3_000);
  if (frames.at(-1)?.type === 'error' && frames.length === 1) return;
  const last = frames.at(-1);
  if (last === undefined || !isTerminalFrame(last)) throw new Error(`a turn without an end: ${shown}`);
  if (numbersOf(frames).join() !== upTo(frames.length).join()) throw new Error(`events with a gap: ${shown}`);
  const { output_text: text, status, error } = terminalOf(frames);
  if (deltasOf(frames) !== text) throw new Error(`the text is not that of the deltas: ${shown}`);
  if ((status === 'failed') !== (error !== null)) throw new Error(`an error beside a success, or none: ${shown}`);
}

it(
  'ends every turn with numbered events and a known code, whatever the provider sends [EV-1, EV-7, EV-8, END-6, END-9]',
  () =>
    fuzz(
      'streams',
      CASES,
      fc.tuple(fc.constantFrom(...WAYS), answers()).map(([way, answer]) => ({ way, answer, shown: answer.shown })),
      async (batch) => {
        await Promise.all(batch.map((one) => naming(`${one.way}: ${one.shown}`, () => turn(one))));
        await gateway.expectNormalTurn();
        gateway.expectHealthy((line) => !BUG.test(line));
      },
    ),
  withinMs(CASES),
);
