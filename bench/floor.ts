/*
 * The floor: the least that a streaming relay can do. Reads the provider, frames each delta as an
 * event, sends it, and nothing else: no checks, no memory, no resume, no limits, no metrics. Every
 * ratio of the bench is to this.
 */

import { WebSocket, WebSocketServer } from 'ws';
import { streamDeltas } from './lib/provider-stream.js';

const upstream = process.env['UPSTREAM'] ?? '';
/** Those who watch a response: the fan-out's. */
const viewers = new Map<string, Set<WebSocket>>();
let lastId = 0;

async function respond(socket: WebSocket, maxTokens: number | undefined, signal: AbortSignal): Promise<void> {
  const id = `resp_${++lastId}`;
  const item_id = `msg_${lastId}`;
  const watching = new Set<WebSocket>();
  viewers.set(id, watching);
  let sequence_number = 1;
  socket.send(JSON.stringify({ type: 'response.created', sequence_number: 0, response: { id } }));
  await streamDeltas(upstream, maxTokens, signal, (delta) => {
    const event = JSON.stringify({
      type: 'response.output_text.delta',
      sequence_number: sequence_number++,
      item_id,
      output_index: 0,
      content_index: 0,
      delta,
      logprobs: [],
    });
    if (socket.readyState === WebSocket.OPEN) socket.send(event);
    for (const viewer of watching) viewer.send(event);
  });
  viewers.delete(id);
  const end = JSON.stringify({ type: 'response.completed', sequence_number, response: { id } });
  if (socket.readyState === WebSocket.OPEN) socket.send(end);
  for (const viewer of watching) viewer.send(end);
}

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.env['PORT']), perMessageDeflate: false });
server.on('connection', (socket) => {
  const gone = new AbortController();
  socket.on('message', (data: Buffer) => {
    // Sent by the bench's load generator only.
    const event = JSON.parse(data.toString()) as {
      readonly type: string;
      readonly max_output_tokens?: number;
      readonly response_id?: string;
    };
    if (event.type === 'response.create') {
      respond(socket, event.max_output_tokens, gone.signal).catch(() => socket.terminate());
    } else {
      const watched = viewers.get(event.response_id ?? '');
      watched?.add(socket);
      socket.on('close', () => watched?.delete(socket));
    }
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => gone.abort());
});
