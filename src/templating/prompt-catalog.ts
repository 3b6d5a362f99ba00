/*
 * The loaded prompts, which can be replaced while turns run: all of them or none. A turn that has
 * begun keeps the prompt that it rendered. Knows no signal and no timer.
 */

import { type Prompt } from './prompt.js';
import { type PromptRegistry } from './registry.js';

interface CatalogHooks {
  readonly loaded: (prompts: PromptRegistry) => void;
  /** Called with the reason why the former prompts stay. */
  readonly refused: (error: unknown) => void;
}

export class PromptCatalog {
  readonly #load: () => Promise<PromptRegistry>;
  readonly #hooks: CatalogHooks;
  #current: PromptRegistry;
  #refusal: { readonly at: Date; readonly reason: string } | null = null;
  #running: Promise<void> | undefined;
  #again = false;

  /** @param load reads and checks all packs, and rejects if one has a mistake */
  constructor(first: PromptRegistry, load: () => Promise<PromptRegistry>, hooks: CatalogHooks) {
    this.#current = first;
    this.#load = load;
    this.#hooks = hooks;
  }

  get current(): PromptRegistry {
    return this.#current;
  }

  /** Why the last reload was refused. Null if the loaded prompts are those of the files. */
  get refusal(): { readonly at: Date; readonly reason: string } | null {
    return this.#refusal;
  }

  /** Finds a prompt, see `PromptRegistry.find`. */
  find(id: string, version?: string): Prompt {
    return this.#current.find(id, version);
  }

  /**
   * Loads the packs again. Never rejects. Two concurrent reloads could end in the other order, and
   * the older files would then replace the newer ones. Reloads therefore run one at a time, and a
   * call during a reload causes one more.
   */
  async reload(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#reloadWhileAsked().finally(() => (this.#running = undefined));
    await this.#running;
  }

  async #reloadWhileAsked(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        const prompts = await this.#load();
        this.#current = prompts;
        this.#refusal = null;
        this.#hooks.loaded(prompts);
      } catch (error) {
        this.#refusal = { at: new Date(), reason: error instanceof Error ? error.message : 'unknown reason' };
        this.#hooks.refused(error);
      }
    }
  }
}
