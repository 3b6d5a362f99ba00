/*
 * A peer: the AI SDK with resumable-stream, as its documentation shows it. The creator reads the UI
 * message stream over SSE, a copy goes through resumable-stream, and others read that copy.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { pipeUIMessageStreamToResponse, streamText, toUIMessageStream, UI_MESSAGE_STREAM_HEADERS } from 'ai';
import { Redis } from 'ioredis';
import { createResumableStreamContext } from 'resumable-stream/ioredis';

const redisUrl = process.env['REDIS_URL'] ?? '';
const provider = createOpenAICompatible({
  name: 'bench',
  baseURL: process.env['UPSTREAM'] ?? '',
  apiKey: 'bench',
  includeUsage: true,
});
const context = createResumableStreamContext({
  waitUntil: null,
  subscriber: new Redis(redisUrl),
  publisher: new Redis(redisUrl),
});

async function post(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += String(piece);
  // Sent by the bench's load generator only.
  const { id, maxOutputTokens } = JSON.parse(text) as { readonly id: string; readonly maxOutputTokens: number };
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const result = streamText({
    model: provider.chatModel('gpt-4o-mini'),
    prompt: 'hello',
    maxOutputTokens,
    abortSignal: gone.signal,
    onError: () => undefined,
  });
  await pipeUIMessageStreamToResponse({
    response,
    stream: toUIMessageStream({ stream: result.stream }),
    consumeSseStream: async ({ stream }) => {
      await context.createNewResumableStream(id, () => stream);
    },
  });
}

async function resume(id: string, response: ServerResponse): Promise<void> {
  const stream = await context.resumeExistingStream(id);
  if (stream === null || stream === undefined) {
    response.writeHead(204).end();
    return;
  }
  response.writeHead(200, UI_MESSAGE_STREAM_HEADERS);
  const reader = stream.getReader();
  response.on('close', () => void reader.cancel().catch(() => undefined));
  for (let read = await reader.read(); !read.done; read = await reader.read()) response.write(read.value);
  response.end();
}

createServer((request, response) => {
  const watched = /^\/chat\/([^/]+)\/stream$/u.exec(request.url ?? '')?.[1];
  const served = watched === undefined ? post(request, response) : resume(watched, response);
  served.catch(() => response.destroy());
}).listen(Number(process.env['PORT']), '127.0.0.1');

// A stream that is cut when its reader disconnects rejects in more than one place.
process.on('unhandledRejection', () => undefined);
