/*
 * Counts the tokens of what a turn would send: prompt, instructions, tools, context, input. Checks
 * the request like a turn does, calls no provider and stores nothing.
 */

import { newId, itemIdsOf } from '../domain/ids.js';
import { type Principal } from '../domain/principal.js';
import { type ResponseRequest } from '../domain/request.js';
import { systemTime } from '../domain/time.js';
import { type Admission } from './admission.js';
import { type Accounting } from './accounting.js';
import { providerRequest, type TurnContexts } from './turn-context.js';
import { type TurnGuards } from './turn-guards.js';
import { storedInput } from './turn-input.js';

export interface InputTokensParts {
  readonly admission: Pick<Admission, 'admit'>;
  readonly contexts: Pick<TurnContexts, 'contextOf'>;
  readonly guards: Pick<TurnGuards, 'judgeHistory'>;
  readonly estimate: Accounting['estimate'];
}

export class InputTokens {
  readonly #parts: InputTokensParts;

  constructor(parts: InputTokensParts) {
    this.#parts = parts;
  }

  /**
   * Returns the number of tokens.
   * @throws SluiceError with the code that a turn with this request would be refused with
   */
  async count(caller: Principal, request: ResponseRequest): Promise<number> {
    const { admission, contexts, guards, estimate } = this.#parts;
    const plan = await admission.admit(caller, request);
    const responseId = newId('resp', systemTime);
    const { withheld } = guards.judgeHistory(plan.prompt, plan.request.input);
    const input = storedInput(plan, responseId, withheld, itemIdsOf(responseId, systemTime));
    const { items } = await contexts.contextOf(plan, input);
    return (await estimate(providerRequest(plan, items), '')).input_tokens;
  }
}
