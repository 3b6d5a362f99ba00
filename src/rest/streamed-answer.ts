/*
 * How a route answers with a stream: it waits for the stream's first step, so that a refusal still is an HTTP status, and knows when
 * its client is gone.
 */

import { type FastifyReply } from 'fastify';
import { type OutgoingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type SluiceError } from '../domain/errors.js';
import { type Interruption } from './open-answers.js';
import { type SseBody, type SseOptions, writeTexts } from './sse.js';

/** Aborts when the client's connection is closed, or the answer is complete. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.destroyed) gone.abort();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

/** Aborts like `goneSignal`, and when streams are to end: reading is over, the turn is not. */
export function readingSignal(reply: FastifyReply, interruption: Interruption | undefined): AbortSignal {
  const over = new AbortController();
  const stop = (): void => over.abort();
  if (reply.raw.destroyed || interruption?.reason !== undefined) stop();
  const forget = interruption?.onInterrupt(stop);
  reply.raw.once('close', () => {
    forget?.();
    stop();
  });
  return over.signal;
}

/** @throws SluiceError why answers are to end, if they are and the response is not complete */
export function checkInterruption(complete: boolean, reason: SluiceError | undefined): void {
  if (!complete && reason !== undefined) throw reason;
}

/**
 * Answers with a stream, whose head waits for the first text, or for `firstWithinMs`. @throws what fails until then, as long as nothing
 * was sent; what fails later is said in the stream
 */
export async function streamTexts(
  reply: FastifyReply,
  { texts, errorText }: SseBody,
  firstWithinMs: number,
  options: SseOptions,
  whenNothing: 'empty stream' | 'no content' = 'empty stream',
): Promise<void> {
  const first = texts.next();
  const step = await within(first, firstWithinMs);
  if (whenNothing === 'no content' && step?.done !== true && step?.value.last === true && step.value.text === '') {
    await texts.return();
    return void reply.code(204).send();
  }
  reply.hijack();
  // Fastify's header values are those of node:http; undefined ones were never set.
  const headers = reply.getHeaders() as OutgoingHttpHeaders;
  await writeTexts(reply.raw, headers, { texts: startingWith(first, texts), errorText }, options);
}

/** @returns what `work` resolves to, or undefined if that takes longer than `ms`. @throws what `work` throws until then */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  const timer = new AbortController();
  try {
    return await Promise.race([work, delay(ms, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

/** An iteration whose first step was already taken. */
async function* startingWith<T>(
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
