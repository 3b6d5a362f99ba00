/*
 * The bench's plain way of reading a provider, as one would write it with undici and
 * eventsource-parser: used by the floor and a peer.
 */

import { createParser } from 'eventsource-parser';
import { Agent, request } from 'undici';

const agent = new Agent({ connections: null, pipelining: 1, bodyTimeout: 0, headersTimeout: 0 });

interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string | null } }[];
}

/**
 * Calls `onDelta` for each delta; resolves at the provider's `[DONE]`, rejects where the stream
 * breaks or `signal` aborts.
 */
export async function streamDeltas(
  baseUrl: string,
  maxTokens: number | undefined,
  signal: AbortSignal,
  onDelta: (text: string) => void,
): Promise<void> {
  const { body } = await request(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer bench' },
    body: JSON.stringify({
      model: 'gpt-4o-mini',
      stream: true,
      stream_options: { include_usage: true },
      max_completion_tokens: maxTokens,
      messages: [{ role: 'user', content: 'hello' }],
    }),
    dispatcher: agent,
    signal,
  });
  await new Promise<void>((resolve, reject) => {
    const parser = createParser({
      onEvent: ({ data }) => {
        if (data === '[DONE]') {
          resolve();
          return;
        }
        const chunk = JSON.parse(data) as Chunk;
        const text = chunk.choices[0]?.delta.content;
        if (typeof text === 'string' && text !== '') onDelta(text);
      },
    });
    body.setEncoding('utf8');
    body.on('data', (text: string) => parser.feed(text));
    body.on('error', reject);
    body.on('end', resolve);
  });
}
