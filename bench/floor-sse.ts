/*
 * The floor of the peers: a plain relay of chat completions over server-sent events. Reads the
 * provider, frames each delta as a chunk, writes it, and nothing else.
 */

import { createServer, type ServerResponse } from 'node:http';
import { streamDeltas } from './lib/provider-stream.js';

const upstream = process.env['UPSTREAM'] ?? '';
let lastId = 0;

async function respond(answer: ServerResponse, maxTokens: number | undefined): Promise<void> {
  const gone = new AbortController();
  answer.on('close', () => gone.abort());
  answer.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  const head = { id: `chatcmpl-${++lastId}`, object: 'chat.completion.chunk', created: 0, model: 'gpt-4o-mini' };
  const write = (delta: object, finish_reason: string | null): void => {
    answer.write(`data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
  };
  await streamDeltas(upstream, maxTokens, gone.signal, (content) => write({ content }, null));
  write({}, 'stop');
  answer.end('data: [DONE]\n\n');
}

createServer((request, answer) => {
  let text = '';
  request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  request.on('end', () => {
    // Sent by the bench's load generator only.
    const { max_tokens } = JSON.parse(text) as { readonly max_tokens?: number };
    respond(answer, max_tokens).catch(() => answer.destroy());
  });
}).listen(Number(process.env['PORT']), '127.0.0.1');
