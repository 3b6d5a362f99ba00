/*
 * What a route does before it answers with a stream: it waits for the stream's first step, so that a refusal still is an HTTP
 * status, and knows when its client is gone.
 */

import { type FastifyReply } from 'fastify';
import { setTimeout as delay } from 'node:timers/promises';

/** Aborts when the client's connection is closed, or the answer is complete. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.destroyed) gone.abort();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

/** Resolves when `work` did, or after `ms`. @throws what `work` throws until then */
export async function within(work: Promise<unknown>, ms: number): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([work, delay(ms, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

/** An iteration whose first step was already taken. */
export async function* startingWith<T>(
  first: Promise<IteratorResult<T, void>>,
  steps: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  try {
    const head = await first;
    if (head.done === true) return;
    yield head.value;
    yield* steps;
  } finally {
    await steps.return();
  }
}
