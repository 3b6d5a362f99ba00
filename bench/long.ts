/*
 * `npm run bench -- long`: whether long things cost in proportion. One gateway; each thing in a
 * short and in a long form: what an answer costs a megabyte, a turn an item of its conversation,
 * and a resume near the end of a long response.
 */

import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextRound, setTimeout as sleep } from 'node:timers/promises';
import { describe, hardware } from './lib/hardware.js';
import { ask } from './lib/ipc.js';
import { end, freePort, listening, startNode, startRedis } from './lib/processes.js';
import { median } from './lib/stats.js';
import { bannedWords } from './lib/words.js';

const PAGE = 'docs/performance.md';
const ROUNDS = 5;
const ANSWER_KB = [512, 5_120] as const;
const DELTA_BYTES = 1_024;
const CONVERSATION_ITEMS = [100, 1_000] as const;
/**
 * Turns of one delta that are measured together: one alone is shorter than the clock of the CPU is
 * exact.
 */
const TURNS = 20;
/**
 * Each is sent alone. What the gateway reads together becomes one event, so there are fewer events.
 */
const DELTAS = [5_000, 50_000] as const;
const TRIES = 30;
/** What is read after the place of the resume. */
const EVENTS_LEFT = 20;

interface Gateway {
  readonly child: ChildProcess;
  readonly url: string;
}

/** One thing in two sizes. */
interface Row {
  readonly title: string;
  readonly unit: string;
  readonly short: number;
  readonly long: number;
}

/**
 * The provider: sends as many deltas of as many bytes as the question says, as fast as they are
 * read.
 */
async function startProvider(): Promise<string> {
  const server = createServer((request, answer) => void provide(request, answer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP listener's address is always this.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

async function provide(request: IncomingMessage, answer: ServerResponse): Promise<void> {
  // At its start the gateway looks for the key's models.
  if (request.method !== 'POST') {
    answer.writeHead(404).end();
    return;
  }
  const text = (await request.setEncoding('utf8').toArray()).join('');
  // Asked by the gateway of this bench only.
  const { messages } = JSON.parse(text) as { readonly messages: readonly { readonly content: string }[] };
  const [deltas = 1, bytes = 8] = (messages.at(-1)?.content ?? '').split('x').map(Number);
  const chunk = (choices: unknown[], usage: unknown = null): string =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 0, model: 'm', choices, usage })}\n\n`;
  const delta = chunk([{ index: 0, delta: { content: 'word '.repeat(bytes).slice(0, bytes) }, finish_reason: null }]);
  answer.writeHead(200, { 'content-type': 'text/event-stream' });
  const stream = async function* (): AsyncGenerator<string> {
    for (let sent = 0; sent < deltas; sent += 1) {
      yield delta;
      if (bytes < DELTA_BYTES) await nextRound();
    }
    yield chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]);
    yield chunk([], { prompt_tokens: 1, completion_tokens: deltas, total_tokens: deltas + 1 });
    yield 'data: [DONE]\n\n';
  };
  await pipeline(Readable.from(stream()), answer).catch(() => undefined);
}

async function startGateway(dist: string, upstream: string, redisUrl: string | null): Promise<Gateway> {
  const [port, opsPort] = [await freePort(), await freePort()];
  const path = join(mkdtempSync(join(tmpdir(), 'sluice-bench-')), 'config.json');
  const config = {
    app: { name: 'bench', port },
    provider: { type: 'openai', model: 'm', base_url: upstream },
    state: {
      ...(redisUrl === null ? { type: 'memory' } : { type: 'redis', url: redisUrl }),
      max_messages: 2_000,
      max_bytes: '64MiB',
    },
    middleware: { validator: { banned_words: bannedWords(1_000) } },
    monitoring: { metrics: { enabled: true, port: opsPort }, logging: { format: 'json' } },
  };
  writeFileSync(path, JSON.stringify(config));
  const child = startNode(join(resolve(dist), 'main.js'), { CONFIG_PATH: path, OPENAI_API_KEY: 'bench' });
  await listening(child, port);
  return { child, url: `http://127.0.0.1:${port}/v1` };
}

/**
 * On a machine with other work the gateway may say that it is overloaded: then the request is
 * repeated.
 */
async function post(url: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  for (let tries = 1; ; tries += 1) {
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (answer.ok) return answer;
    if (answer.status !== 503 || tries === TRIES)
      throw new Error(`unable to measure; ${url} answered ${answer.status}: ${await answer.text()}`);
    await sleep(1_000);
  }
}

/** What the gateway used while `work` ran, in milliseconds. */
async function cpuOf({ child }: Gateway, work: () => Promise<void>): Promise<number> {
  const { micros: before } = await ask(child, { ask: 'cpu' });
  await work();
  return ((await ask(child, { ask: 'cpu' })).micros - before) / 1_000;
}

async function answerOf(gateway: Gateway, kilobytes: number): Promise<number> {
  const input = `${kilobytes}x${DELTA_BYTES}`;
  let text = '';
  const cpu = await cpuOf(gateway, async () => {
    text = await (await post(`${gateway.url}/responses`, { input, stream: true, store: false })).text();
  });
  if (!text.includes('response.completed')) throw new Error('unable to measure; the answer did not complete');
  return cpu / (kilobytes / 1_024);
}

async function conversationOf({ url }: Gateway, items: number): Promise<string> {
  const { id } = (await (await post(`${url}/conversations`, {})).json()) as { readonly id: string };
  const batch = Array.from({ length: 20 }, (_, i) => ({
    type: 'message',
    role: i % 2 === 0 ? 'user' : 'assistant',
    content: [
      { type: i % 2 === 0 ? 'input_text' : 'output_text', text: 'A sentence of some fifty characters, as in a chat.' },
    ],
  }));
  for (let count = 0; count < items; count += batch.length)
    await post(`${url}/conversations/${id}/items`, { items: batch });
  return id;
}

/** CPU of a turn, divided by the items of its conversation, in microseconds. */
async function turnIn(gateway: Gateway, items: number): Promise<number> {
  const conversation = await conversationOf(gateway, items);
  const cpu = await cpuOf(gateway, async () => {
    for (let turn = 0; turn < TURNS; turn += 1)
      await post(`${gateway.url}/responses`, { input: '1x8', conversation }).then((answer) => answer.text());
  });
  return (cpu * 1_000) / TURNS / items;
}

/** CPU of a resume near the end of a response of this many deltas, in milliseconds. */
async function resumeAt(gateway: Gateway, deltas: number): Promise<number> {
  const created = await post(`${gateway.url}/responses`, { input: `${deltas}x8` });
  const { id } = (await created.json()) as { readonly id: string };
  const whole = await (await fetch(`${gateway.url}/responses/${id}?stream=true`)).text();
  const events = whole.split('\nevent: ').length;
  const tail = `${gateway.url}/responses/${id}?stream=true&starting_after=${Math.max(0, events - EVENTS_LEFT)}`;
  const cpu = await cpuOf(gateway, async () => {
    for (let i = 0; i < TURNS; i += 1) {
      const text = await (await fetch(tail)).text();
      if (!text.includes('response.completed'))
        throw new Error(`unable to measure; the resume answered ${text.slice(0, 200)}`);
    }
  });
  return cpu / TURNS;
}

async function measure(gateway: Gateway): Promise<readonly Row[]> {
  const both = async (
    sizes: readonly [number, number],
    one: (size: number) => Promise<number>,
  ): Promise<[number, number]> => {
    const samples: [number[], number[]] = [[], []];
    // The first round is for the engine, which compiles what runs often.
    for (let round = 0; round <= ROUNDS; round += 1)
      for (const at of [0, 1] as const) {
        const sample = await one(sizes[at]);
        if (round > 0) samples[at].push(sample);
      }
    return [median(samples[0]), median(samples[1])];
  };
  const [answerShort, answerLong] = await both(ANSWER_KB, (size) => answerOf(gateway, size));
  const [turnShort, turnLong] = await both(CONVERSATION_ITEMS, (size) => turnIn(gateway, size));
  const [resumeShort, resumeLong] = await both(DELTAS, (size) => resumeAt(gateway, size));
  return [
    { title: 'an answer of 0.5 and of 5 MB', unit: 'ms a MB', short: answerShort, long: answerLong },
    {
      title: 'a turn in a conversation of 100 and of 1,000 items',
      unit: 'µs an item',
      short: turnShort,
      long: turnLong,
    },
    { title: 'a resume near the end of 5,000 and of 50,000 deltas', unit: 'ms', short: resumeShort, long: resumeLong },
  ];
}

const upstream = await startProvider();
const redisPort = await freePort();
const redis = await startRedis(redisPort);
const lines = ['| | state | short | long | long / short |', '| --- | --- | --: | --: | --: |'];
for (const redisUrl of [null, ...(redis === undefined ? [] : [`redis://127.0.0.1:${redisPort}`])]) {
  const gateway = await startGateway('dist', upstream, redisUrl);
  for (const { title, unit, short, long } of await measure(gateway))
    lines.push(
      `| ${title} | ${redisUrl === null ? 'memory' : 'Redis'} | ${short.toFixed(2)} ${unit} | ${long.toFixed(2)} ${unit} | ${(long / short).toFixed(2)}× |`,
    );
  await end(gateway.child);
}
if (redis !== undefined) await end(redis);
const about = `CPU of the gateway. Median of ${ROUNDS} rounds, ${new Date().toISOString().slice(0, 10)}, on ${describe(hardware())}.`;
const table = lines.join('\n');
process.stdout.write(`${about}\n\n${table}\n`);
if (process.argv.includes('--write')) {
  const page = readFileSync(PAGE, 'utf8');
  const written = page.replace(
    /<!-- bench long -->[\s\S]*<!-- end long -->/u,
    `<!-- bench long -->\n\n${about}\n\n${table}\n\n<!-- end long -->`,
  );
  if (!written.includes(table)) throw new Error(`unable to write ${PAGE}; it has no place for this table`);
  writeFileSync(PAGE, written);
}
process.exit(0);
