/* What calls to the configured providers cost, by each provider's own prices or its public list. */

import { type AppConfig, type ProviderSettings } from '../config/schema.js';
import { type Usage, ZERO_USAGE } from '../domain/response.js';
import { type Price } from './provider-type.js';
import { providerType } from './registry.js';

/**
 * Returns the name of a provider: its type, such as `openai`, with its number if it is a fallback
 * (`openai-1`).
 */
export function providerName({ type }: Pick<ProviderSettings, 'type'>, index: number): string {
  return index === 0 ? type : `${type}-${index}`;
}

export class Prices {
  /**
   * Prices by name of the provider. Empty if cost is not tracked. Null: the provider's calls cost
   * nothing.
   */
  readonly #prices: ReadonlyMap<string, Price | null>;
  readonly #config: AppConfig;

  private constructor(config: AppConfig, prices: ReadonlyMap<string, Price | null>) {
    this.#config = config;
    this.#prices = prices;
  }

  /** Loads the price lists that the configured providers need. */
  static async load(config: AppConfig): Promise<Prices> {
    const { enabled, cost_tracking } = config.middleware.provider;
    const all = enabled && cost_tracking ? [config.provider, ...config.fallbacks] : [];
    const priceOf = async (settings: ProviderSettings, i: number): Promise<[string, Price | null]> => [
      providerName(settings, i),
      await providerType(settings).price(settings),
    ];
    return new Prices(config, new Map(await Promise.all(all.map(priceOf))));
  }

  /**
   * Computes the cost of a call.
   * @param provider name of the provider; null: the first one
   * @returns US dollars, or null if there is no known price or cost is not tracked
   */
  cost(model: string, usage: Usage, provider: string | null): number | null {
    return this.#priceOf(provider)?.(model, usage) ?? null;
  }

  /** Whether a call was used, its cost is tracked, and its model has no price. */
  isUnpriced(model: string, usage: Usage, provider: string | null): boolean {
    const price = this.#priceOf(provider);
    return price !== null && usage.total_tokens > 0 && price(model, ZERO_USAGE) === null;
  }

  /** Returns one line for each model without a price, for `config check` and the start. */
  warnings(): string[] {
    const { provider, fallbacks, clients } = this.#config;
    const effects = new Intl.ListFormat('en').format(['its cost is not counted', ...this.#needsPrice()]);
    return [provider, ...fallbacks].flatMap((settings, i) => {
      const price = this.#priceOf(providerName(settings, i));
      if (price === null) return [];
      const path = i === 0 ? 'provider' : `fallbacks[${i - 1}]`;
      return [...new Set([settings.model, ...(i === 0 ? clients.models : [])])]
        .filter((model) => price(model, ZERO_USAGE) === null)
        .map(
          (model) =>
            `${path}.prices: no price is known for the model \`${model}\`, so ${effects}; give \`prices\`, or set \`middleware.provider.cost_tracking: false\``,
        );
    });
  }

  /** Returns what a missing price makes ineffective, each as a clause. */
  #needsPrice(): readonly string[] {
    const { limits, monitoring } = this.#config;
    return [
      ...([limits.per_user, ...Object.values(limits.classes)].every(({ cost_per_day_usd: usd }) => usd === null)
        ? []
        : ['`limits.per_user.cost_per_day_usd` is no bound']),
      ...(monitoring.metrics.enabled ? ['the alert of `alerts.cost_per_hour_threshold` does not include it'] : []),
    ];
  }

  #priceOf(provider: string | null): Price | null {
    return this.#prices.get(provider ?? providerName(this.#config.provider, 0)) ?? null;
  }
}
