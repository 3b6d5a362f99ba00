/*
 * The caller's limits as headers with OpenAI's names, on every answer to a request for a turn, also
 * if a limit refused it.
 */

import { type FastifyReply } from 'fastify';

import { type CreatedTurn } from '../turn/turn.service.js';
import { noteTurn } from './turn-request.js';
import { LimitRefusal, type LimitState, type LimitStates } from '../turn/turn-limits.js';

const KINDS = ['requests', 'tokens'] as const;

/** The names of these headers, which CORS lets a page read. */
export const LIMIT_HEADERS: readonly string[] = KINDS.flatMap((kind) =>
  ['limit', 'remaining', 'reset'].map((what) => `x-ratelimit-${what}-${kind}`),
);

/**
 * Sets the headers of `reply` from the limits that `created` carries. Resolves and rejects like
 * `created`.
 */
export async function withLimitHeaders(reply: FastifyReply, created: Promise<CreatedTurn>): Promise<CreatedTurn> {
  try {
    const turn = await created;
    noteTurn(reply.request);
    void reply.headers(limitHeaders(turn.limits));
    return turn;
  } catch (thrown) {
    if (thrown instanceof LimitRefusal) void reply.headers(limitHeaders(thrown.limits));
    throw thrown;
  }
}

function limitHeaders(limits: LimitStates): Record<string, string> {
  return Object.fromEntries(
    KINDS.flatMap((kind) => {
      const state: LimitState | undefined = limits[kind];
      if (state === undefined) return [];
      return [
        [`x-ratelimit-limit-${kind}`, String(state.limit)],
        [`x-ratelimit-remaining-${kind}`, String(state.remaining)],
        [`x-ratelimit-reset-${kind}`, durationText(state.resetMs)],
      ];
    }),
  );
}

/** Formats a duration as `1s`, `6m0s` or `1h0m0s`: whole seconds, rounded up. */
function durationText(ms: number): string {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  const rest = `${minutes % 60}m${seconds % 60}s`;
  return minutes < 60 ? rest : `${Math.floor(minutes / 60)}h${rest}`;
}
