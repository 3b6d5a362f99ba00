/*
 * The prompt of a turn: which one, and with which values. Decides nothing about the rest of a plan.
 */

import { SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { systemTime, type Time } from '../domain/time.js';
import { type Prompt, type RenderedPrompt } from '../templating/prompt.js';
import { type PromptRegistry } from '../templating/registry.js';
import { renderPrompt } from '../templating/render.js';
import { type Values } from '../templating/sources.js';
import { chooseVersion, type VersionWeights } from '../templating/version-weights.js';

export interface PromptPolicy {
  /** Whether requests get a system prompt from a prompt pack. */
  readonly templateEnabled: boolean;
  /** Prompt of a request that names none. Null: no prompt. */
  readonly defaultPrompt: string | null;
  /** Values of variables that requests leave out. */
  readonly promptVariables: Values;
  /** IANA name of the time zone of dates and times in prompts. */
  readonly timeZone: string;
  /** Weights of versions by `pack/prompt`, or by the prompt's name. */
  readonly canary: Readonly<Record<string, VersionWeights>>;
}

export class TurnPrompts {
  readonly #prompts: Pick<PromptRegistry, 'find'>;
  readonly #policy: PromptPolicy;
  readonly #time: Pick<Time, 'date' | 'unique'>;

  constructor(
    prompts: Pick<PromptRegistry, 'find'>,
    policy: PromptPolicy,
    time: Pick<Time, 'date' | 'unique'> = systemTime,
  ) {
    this.#prompts = prompts;
    this.#policy = policy;
    this.#time = time;
  }

  /**
   * Renders the prompt of a request.
   * @param model the model that will answer
   * @returns null if the request gets no prompt
   * @throws SluiceError if there is no such prompt, or a variable is unsuitable
   */
  render(caller: Principal, request: ResponseRequest, model: string): RenderedPrompt | null {
    const { templateEnabled, defaultPrompt, promptVariables: configured, timeZone } = this.#policy;
    const id = request.prompt?.id ?? defaultPrompt;
    if (request.prompt !== undefined && !templateEnabled) {
      throw new SluiceError(
        'prompt_not_found',
        'unable to use a prompt; the configuration turns prompts off; leave `prompt` out',
        { param: 'prompt' },
      );
    }
    if (!templateEnabled || id === null) return null;
    const prompt = this.#find(caller, request, id);
    const { tenant, user, promptVariables: bound, attributes } = caller;
    const facts = {
      now: new Date(this.#time.date()),
      timeZone,
      conversationId: request.conversation ?? null,
      model,
      tenant,
      user,
      ...(attributes === undefined ? {} : { attributes }),
    };
    const sources = { configured, facts, model, ...(bound === undefined ? {} : { bound }) };
    return renderPrompt(prompt, request.prompt?.variables ?? {}, sources);
  }

  /**
   * Finds the prompt. Without a version in the request the weights decide, by conversation, else by
   * user, else by chance.
   */
  #find(caller: Principal, { prompt: choice, conversation }: ResponseRequest, id: string): Prompt {
    const found = this.#prompts.find(id, choice?.version);
    if (choice?.version !== undefined) return found;
    const name = `${found.pack}/${found.name}`;
    const { canary } = this.#policy;
    const weights = canary[name] ?? canary[found.name];
    if (weights === undefined) return found;
    const key = conversation ?? (caller.user === null ? newId('resp', this.#time) : caller.owner);
    return this.#prompts.find(name, chooseVersion(weights, name, key));
  }
}
