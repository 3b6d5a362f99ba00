/* The contract of a provider type: one entry of the registry. */

import { type ProviderTypeFacts } from '../config/provider-types.js';
import { type ProviderSettings } from '../config/schema.js';
import { type InputKind } from '../domain/media.js';
import { type Usage } from '../domain/response.js';
import { type Provider } from './provider.js';
import { type ScheduleRead } from './wire/paced-socket.js';

interface ProviderContext {
  /** The name in metrics, logs and `response.sluice.provider`. */
  readonly name: string;
  /** Schedules the next read of a stream after its first delta. */
  readonly scheduleRead: ScheduleRead;
}

interface OpenProvider {
  readonly provider: Provider;
  /** Closes its connections; streams that still run are cut. */
  readonly close: () => Promise<void>;
}

/** @returns US dollars, or null if the price of the model is not known */
export type Price = (model: string, usage: Usage) => number | null;

export interface ProviderType extends ProviderTypeFacts {
  /** Loads the code of the provider, which other types do not need, and opens it. */
  open(settings: ProviderSettings, context: ProviderContext): Promise<OpenProvider>;
  /**
   * Whether the provider rejects the key. False if it does not answer within `timeoutMs`, in
   * milliseconds.
   */
  refusesKey(settings: ProviderSettings, timeoutMs: number): Promise<boolean>;
  /** What a model takes beside text. */
  takes(settings: ProviderSettings, model: string): ReadonlySet<InputKind>;
  /** Scores a text by category. Absent: the type has no such endpoint. @throws any error */
  moderate?(
    settings: ProviderSettings,
    call: { readonly text: string; readonly model: string | undefined; readonly signal: AbortSignal },
  ): Promise<Record<string, number>>;
  /** Returns the price of calls, or null if they cost nothing. Loads the price list. */
  price(settings: ProviderSettings): Promise<Price | null>;
}
