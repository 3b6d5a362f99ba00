/*
 * A peer: the relay that is usually written first when a second replica comes. Every delta is one
 * XADD and one PUBLISH; all viewers, the creator included, receive it by a subscription. Nothing is
 * checked, renumbered or healed.
 */

import { Redis } from 'ioredis';
import { WebSocket, WebSocketServer } from 'ws';
import { streamDeltas } from './lib/provider-stream.js';

const upstream = process.env['UPSTREAM'] ?? '';
const redis = new Redis(process.env['REDIS_URL'] ?? '');
const subscriber = new Redis(process.env['REDIS_URL'] ?? '');
const KEPT_SECONDS = 600;
const ENDED = '{"type":"response.completed"';

/** By response. */
const viewers = new Map<string, Set<WebSocket>>();
let lastId = 0;

subscriber.on('message', (channel: string, event: string) => {
  const ended = event.startsWith(ENDED);
  for (const viewer of [...(viewers.get(channel) ?? [])]) {
    if (viewer.readyState === WebSocket.OPEN) viewer.send(event);
    if (ended) leave(channel, viewer);
  }
});

async function watch(id: string, socket: WebSocket): Promise<void> {
  const watching = viewers.get(id) ?? new Set();
  viewers.set(id, watching.add(socket));
  if (watching.size === 1) await subscriber.subscribe(id);
  socket.once('close', () => leave(id, socket));
}

function leave(id: string, socket: WebSocket): void {
  const watching = viewers.get(id);
  if (watching?.delete(socket) !== true || watching.size > 0) return;
  viewers.delete(id);
  void subscriber.unsubscribe(id);
}

async function respond(socket: WebSocket, maxTokens: number | undefined, signal: AbortSignal): Promise<void> {
  const id = `resp_${process.pid}_${++lastId}`;
  await watch(id, socket);
  let sequence_number = 0;
  const tell = (event: object): void => {
    const json = JSON.stringify({ ...event, sequence_number: sequence_number++ });
    void redis.xadd(id, '*', 'event', json);
    void redis.publish(id, json);
  };
  tell({ type: 'response.created', response: { id } });
  await streamDeltas(upstream, maxTokens, signal, (delta) =>
    tell({
      type: 'response.output_text.delta',
      item_id: `msg_${id}`,
      output_index: 0,
      content_index: 0,
      delta,
      logprobs: [],
    }),
  );
  tell({ type: 'response.completed', response: { id } });
  await redis.expire(id, KEPT_SECONDS);
}

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.env['PORT']), perMessageDeflate: false });
server.on('connection', (socket) => {
  socket.setMaxListeners(0);
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
      void watch(event.response_id ?? '', socket);
    }
  });
  socket.on('error', () => socket.terminate());
  socket.on('close', () => gone.abort());
});
