/*
 * The provider contract: what a turn may request from the server of a model. Knows no wire format
 * and no SDK.
 */

import { type Item, type TokenLogprob } from '../domain/item.js';
import { type InputKind } from '../domain/media.js';
import { type Sampling } from '../domain/request.js';
import {
  type FunctionTool,
  type ReasoningEffort,
  type TextFormat,
  type SentToolChoice,
  type Usage,
} from '../domain/response.js';

export interface ProviderRequest {
  readonly model: string;
  /** System prompt, already rendered; empty: none is sent. */
  readonly system: string;
  /** The context and the new input, oldest first, as they are sent to the provider. */
  readonly items: readonly Item[];
  /**
   * What the new input contains beside text. Absent: nothing. A provider that does not take it is
   * not called.
   */
  readonly needs?: ReadonlySet<InputKind>;
  readonly temperature: number | null;
  readonly topP: number | null;
  /** Absent: the default of the provider. */
  readonly sampling?: Sampling;
  readonly maxOutputTokens: number | null;
  readonly tools: readonly FunctionTool[];
  readonly toolChoice: SentToolChoice;
  readonly parallelToolCalls: boolean;
  readonly textFormat: TextFormat;
  readonly reasoningEffort: ReasoningEffort | null;
  /**
   * A stable, opaque name of the end user for the provider's abuse checks (never an e-mail
   * address); null: none.
   */
  readonly safetyIdentifier: string | null;
  /** Absent: none is sent. */
  readonly promptCacheKey?: string;
  /** The provider whose bucket the first call of this request was taken from, at admission. */
  readonly paid?: string;
  /** W3C trace context to send with the call. */
  readonly traceparent?: string;
}

/** A call that was aborted because another provider of the same turn answered first. */
export interface LostCall {
  readonly provider: string;
  readonly model: string;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

/**
 * One part of a provider's stream, not yet checked by a guardrail. `extra` is opaque and is sent
 * back to the provider with the call. `index` numbers the function calls of one response from 0.
 */
export type ProviderPart =
  | {
      readonly type: 'start';
      readonly provider: string;
      readonly model: string;
      /**
       * Calls that were made beside the answering one and aborted. Providers may charge for their
       * input.
       */
      readonly lost?: readonly LostCall[];
      /** The provider's own id of the request, for its support. */
      readonly requestId?: string;
      /** Failed attempts of this provider before the one that answered. Absent: none. */
      readonly retries?: number;
      /** Whether a provider before this one in line failed or was silent. */
      readonly fallback?: true;
    }
  | { readonly type: 'text'; readonly text: string }
  /** Of text that follows. Only if the request asked for them. */
  | { readonly type: 'logprobs'; readonly tokens: readonly TokenLogprob[] }
  | { readonly type: 'reasoning'; readonly text: string }
  /** A summary that the provider sends instead of the reasoning. */
  | { readonly type: 'reasoning_summary'; readonly text: string }
  | { readonly type: 'refusal'; readonly text: string }
  | {
      readonly type: 'function_call';
      readonly index: number;
      readonly callId: string;
      readonly name: string;
      readonly extra?: Readonly<Record<string, unknown>>;
    }
  | { readonly type: 'function_arguments'; readonly index: number; readonly delta: string }
  | { readonly type: 'usage'; readonly usage: Usage; readonly estimated: boolean }
  | { readonly type: 'finish'; readonly reason: FinishReason };

/**
 * Streams one answer. The stream yields `start` once the provider answers and ends right after its
 * only `finish`. `usage` comes at most once, before `finish`. When `signal` aborts, the stream
 * closes its socket and throws the signal's reason.
 * @throws SluiceError with a `provider_*`, `rate_limit_exceeded` or `server_error` code
 */
export abstract class Provider {
  abstract stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart>;
}

/** The reason of an abort: another provider of the same call answered first. */
export class Overtaken extends Error {
  /**
   * @param silent whether the aborted provider was silent for `failover.after` before the other
   * provider was called
   */
  constructor(readonly silent: boolean) {
    super('another provider answered first');
  }
}
