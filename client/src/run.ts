/* The state of a response that has not ended, names of lanes, and random keys. */

import { type WireEvent } from './api.js';
import { type LiveResponse } from './response.js';

/**
 * Lanes used at once. A gateway runs 16 responses a connection. Over HTTP a browser opens 6
 * connections, and two stay free.
 */
export const LANES = { websocket: 16, sse: 4 };

/** HTTP statuses of a refusal after which a frame is sent again later. */
export const RETRY_LATER = new Set<number | null>([429, 503]);
export const RETRY_AFTER_MS = 1_000;

/** A response that has not ended, and its state on the current socket. */
export interface Run {
  readonly response: LiveResponse;
  /** The event that creates it; null if it was only resumed. */
  readonly create: WireEvent | null;
  /** Its lane on the current socket, or null if nothing was sent on this socket. */
  lane: string | null;
  /** Whether a resume is unanswered: events that arrive before its answer may leave a gap. */
  resuming: boolean;
  /** Resumes since the last event that was taken. */
  gaps: number;
}

/** Returns the first free name with this prefix. */
export function free(prefix: string, taken: ReadonlySet<unknown>): string {
  for (let i = 0; ; i++) if (!taken.has(prefix + i)) return prefix + i;
}

/**
 * Returns a random idempotency key. Also works on plain http, where `crypto.randomUUID` is missing.
 */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
