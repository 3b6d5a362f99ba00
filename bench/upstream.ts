/*
 * The bench's provider: an OpenAI-compatible chat completions server that sends each stream its
 * deltas at a steady pace, one write a delta, like a model does. Every other delta carries the
 * moment it was sent. The request's token limit says how many deltas it gets.
 */

import { createServer, type ServerResponse } from 'node:http';
import { machineMs, tagOf } from './lib/clock.js';
import { answerQuestions } from './lib/ipc.js';
import { wordAt } from './lib/words.js';

const HEAD =
  '{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1763870000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_44added55e"';
const DEFAULT_DELTAS = 400;
const LATE_MS = 5;

interface Running {
  readonly answer: ServerResponse;
  readonly slot: number;
  readonly deltas: number;
  sent: number;
}

let slots: Set<Running>[] = slotsFor(50);
let lastTick = 0;
let timer: NodeJS.Timeout | undefined;
let active = 0;
let sent = 0;
let late = 0;

function slotsFor(perSecond: number): Set<Running>[] {
  return Array.from({ length: Math.round(1_000 / perSecond) }, () => new Set<Running>());
}

function event(choices: string, usage = 'null'): string {
  return `data: ${HEAD},"choices":${choices},"usage":${usage}}\n\n`;
}

function contentEvent(content: string): string {
  return event(`[{"index":0,"delta":{"content":"${content}"},"logprobs":null,"finish_reason":null}]`);
}

/**
 * The slot of each passed millisecond gets its next delta, also those that this process came too
 * late for.
 */
function tick(): void {
  const now = Math.floor(machineMs());
  for (let at = lastTick + 1; at <= now; at++) {
    for (const running of slots[at % slots.length] ?? []) {
      if (now - at > LATE_MS) late += 1;
      next(running);
    }
  }
  lastTick = now;
  timer = active > 0 ? setTimeout(tick, 1) : undefined;
}

function next(running: Running): void {
  const { answer, deltas } = running;
  const index = running.sent++;
  sent += 1;
  answer.write(contentEvent(index % 2 === 0 ? ` ${tagOf(machineMs())}` : wordAt(index)));
  if (running.sent < deltas) return;
  leave(running);
  answer.write(event('[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]'));
  answer.write(event('[]', `{"prompt_tokens":12,"completion_tokens":${deltas},"total_tokens":${deltas + 12}}`));
  answer.end('data: [DONE]\n\n');
}

function leave(running: Running): void {
  if (slots[running.slot]?.delete(running)) active -= 1;
}

const server = createServer((request, answer) => {
  let text = '';
  request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  request.on('end', () => {
    if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
      answer.writeHead(404).end();
      return;
    }
    // Asked by the systems of the bench only.
    const body = JSON.parse(text) as { readonly max_tokens?: number; readonly max_completion_tokens?: number };
    const now = Math.floor(machineMs());
    if (timer === undefined) lastTick = now;
    const slot = now % slots.length;
    const deltas = body.max_completion_tokens ?? body.max_tokens ?? DEFAULT_DELTAS;
    const running: Running = { answer, slot, deltas, sent: 0 };
    answer.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    answer.socket?.setNoDelay(true);
    answer.on('close', () => leave(running));
    answer.write(
      event(
        '[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]',
      ),
    );
    slots[slot]?.add(running);
    active += 1;
    next(running);
    timer ??= setTimeout(tick, 1);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env['PORT']), '127.0.0.1');

answerQuestions({
  pace: ({ perSecond }) => {
    if (active > 0) throw new Error('unable to change the pace; streams are running');
    slots = slotsFor(perSecond);
    return null;
  },
  provided: () => ({ sent, late, active }),
});
