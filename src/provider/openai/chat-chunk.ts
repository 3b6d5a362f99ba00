/* One chunk of a chat completions stream, as it comes over the wire. Knows nothing of the chunks before it. */

import { malformed } from './chat-errors.js';

/** A chunk as it may really look: every field may be missing or null, whatever the types of the API say. */
export interface Chunk {
  readonly error?: unknown;
  readonly object?: string;
  readonly choices?: readonly Choice[] | null;
  readonly usage?: RawUsage | null;
}
interface Choice {
  readonly index?: number;
  readonly delta?: Delta | null;
  readonly finish_reason?: string | null;
}
export interface Delta {
  readonly content?: string | null;
  readonly refusal?: string | null;
  readonly tool_calls?: readonly ToolCallDelta[] | null;
}
export interface ToolCallDelta {
  readonly index?: number;
  readonly id?: string | null;
  readonly function?: { readonly name?: string | null; readonly arguments?: string | null } | null;
}
export interface RawUsage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly total_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number; readonly cache_write_tokens?: number } | null;
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number } | null;
}

/** @throws SluiceError for what is no chunk */
export function parseChunk(data: string): Chunk {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw malformed('an event that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('an event that is no object');
  // The cast: the fields are read one by one, each with a check of its own.
  const chunk = value as Chunk;
  if (chunk.choices !== undefined && chunk.choices !== null && !Array.isArray(chunk.choices)) {
    throw malformed('choices that are no list');
  }
  return chunk;
}
