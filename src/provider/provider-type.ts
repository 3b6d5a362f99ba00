/* What a type of provider is to the rest of the gateway: one entry of the registry. */

import { type ProviderTypeFacts } from '../config/provider-types.js';
import { type ProviderSettings } from '../config/schema.js';
import { type Usage } from '../domain/response.js';
import { type Provider } from './provider.js';
import { type ScheduleRead } from './wire/paced-socket.js';

interface ProviderContext {
  /** As metrics, logs and `response.sluice.provider` name it. */
  readonly name: string;
  /** When a stream that has begun to speak is read again. */
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
  open(settings: ProviderSettings, context: ProviderContext): OpenProvider;
  /**
   * Whether the provider says plainly that it does not accept the key; false where that cannot be
   * learned in time.
   */
  refusesKey(settings: ProviderSettings, timeoutMs: number): Promise<boolean>;
  /** What calls cost; null if they cost nothing. */
  price(settings: ProviderSettings): Price | null;
}
