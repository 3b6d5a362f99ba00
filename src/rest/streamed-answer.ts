/*
 * Answers a route with a stream. Waits for the stream's first step, so that an early refusal is
 * still an HTTP status, and detects that the client disconnected or that the answer must end.
 */

import { type FastifyReply } from 'fastify';
import { type OutgoingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Principal } from '../domain/principal.js';
import { type ConnectionLimits } from '../turn/connection-limits.js';
import { type Interruption } from './open-answers.js';
import { auditOf } from './request-audit.js';
import { type SseBody, type SseOptions, writeTexts } from './sse.js';

/**
 * Takes the place of a stream until its answer is sent or its client disconnects.
 * @throws SluiceError `rate_limit_exceeded`
 */
export function takeStreamPlace(limits: ConnectionLimits, caller: Principal, reply: FastifyReply): void {
  const release = limits.take(caller, reply.request.ip);
  if (reply.raw.destroyed) release();
  else reply.raw.once('close', release);
}

/** Aborts when the client disconnects or the answer is complete. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.destroyed) gone.abort();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

/** Aborts like `goneSignal`, and also when streams must end. Ends the reading, not the turn. */
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

/**
 * Returns what `work` resolves to, unless the answer must end before. The store that `work` reads
 * may not answer then. If the answer waited for it until the connection is closed, its client would
 * send the request again.
 * @throws what `work` throws; the reason of the interruption
 */
export async function unlessInterrupted<T>(work: Promise<T>, interruption: Interruption | undefined): Promise<T> {
  const over = Promise.withResolvers<never>();
  const check = (): void => {
    if (interruption?.reason !== undefined) over.reject(interruption.reason);
  };
  const forget = interruption?.onInterrupt(check);
  check();
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    forget?.();
  }
}

/**
 * Answers with a stream. Its head waits for the first text, at most `firstWithinMs`.
 * @throws errors of the first step before anything is sent; later errors are sent in the stream
 */
export async function streamTexts(
  reply: FastifyReply,
  { texts, errorText }: SseBody,
  firstWithinMs: number,
  options: SseOptions,
  whenNothing: 'empty stream' | 'no content' = 'empty stream',
): Promise<void> {
  const first = texts.next();
  const step = await unlessInterrupted(within(first, firstWithinMs), options.interruption);
  if (whenNothing === 'no content' && step?.done !== true && step?.value.last === true && step.value.text === '') {
    await texts.return();
    return void reply.code(204).send();
  }
  auditOf(reply.request)?.write('ok');
  reply.hijack();
  // Fastify's header values are those of node:http, and none is set to undefined.
  const headers = reply.getHeaders() as OutgoingHttpHeaders;
  await writeTexts(reply.raw, headers, { texts: startingWith(first, texts), errorText }, options);
}

/**
 * Waits for `work` for at most `ms` milliseconds.
 * @returns what `work` resolves to, or undefined after `ms`
 * @throws what `work` throws before that
 */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  const timer = new AbortController();
  try {
    return await Promise.race([work, delay(ms, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}

/** Resumes an iteration after its first step. */
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
