/*
 * How a turn ends: usage and cost are settled, whatever is open is closed, the items are committed, and then, last of all and exactly
 * once, the terminal event is appended. Whoever sees the terminal finds the items.
 */

import { asSluiceError, type SluiceError } from '../domain/errors.js';
import { type TerminalEvent } from '../domain/event.js';
import { type ResponseObject, type ResponseStatus, type Usage } from '../domain/response.js';
import { type ProviderRequest } from '../provider/provider.js';
import { type Keeping, keepingOf, NOTHING, providerRequest, type TurnMemory } from './memory.js';
import { type TurnOutcome } from './outcome.js';
import { patiently } from './patience.js';
import { sluiceFacts, type Turn } from './turn.js';

export interface Accounting {
  /** What a call must have used where the provider did not say. */
  readonly estimate: (request: ProviderRequest, produced: string) => Promise<Usage>;
  /** US dollars; null: no known price. */
  readonly cost: (model: string, usage: Usage, provider: string | null) => number | null;
}

export class Settlement {
  readonly #memory: TurnMemory;
  readonly #accounting: Accounting;

  constructor(memory: TurnMemory, accounting: Accounting) {
    this.#memory = memory;
    this.#accounting = accounting;
  }

  /**
   * Ends `turn`; resolves with the outcome that was told, when its terminal event stands in the log. `lost`: the log is another's
   * or out of reach; nothing is kept then but by whoever ends it. `committed` is called when nothing more will be written but the terminal.
   */
  async settle(turn: Turn, outcome: TurnOutcome, committed: () => Promise<void>): Promise<TurnOutcome | 'lost'> {
    const { journal, writer, facts } = turn;
    await this.#account(turn).catch(() => undefined);
    writer.close(outcome.end === 'completed' ? 'completed' : 'incomplete');
    await journal.flushed();
    if (journal.lost !== undefined) return 'lost';

    const response = { ...journal.accumulator.response(), id: turn.responseId };
    const keeping = facts.begun ? keepingOf(response, turn.input, facts.inputRefused) : NOTHING;
    facts.kept = keeping.kept;
    let told = outcome;
    let terminal = terminalOf(turn, told);
    try {
      const response = await patiently(() => this.#commit(turn, terminal.response, keeping), {
        wanted: () => journal.lost === undefined,
        time: turn.time,
      });
      facts.kept = response.sluice.kept;
      terminal = { ...terminal, response };
    } catch (thrown) {
      facts.kept = 'nothing';
      told = { end: 'failed', error: asSluiceError(thrown) };
      terminal = terminalOf(turn, told);
    }
    if (journal.lost === undefined) await committed();
    journal.emit(terminal);
    await journal.flushed();
    return journal.ended ? told : 'lost';
  }

  #commit(turn: Turn, response: ResponseObject, left: Keeping): Promise<ResponseObject> {
    return this.#memory.commit({
      owner: turn.plan.caller.owner,
      response,
      input: turn.input,
      left,
      terminalSequence: turn.journal.nextSequence,
      history: turn.facts.context?.history ?? null,
    });
  }

  /** A turn ends also where its cost cannot be told. */
  async #account(turn: Turn): Promise<void> {
    const { facts } = turn;
    if (facts.usage === null && facts.provider !== null) {
      facts.usage = await this.#accounting.estimate(
        providerRequest(turn.plan, facts.context?.items ?? turn.plan.request.input),
        facts.produced,
      );
      facts.usageEstimated = true;
    }
    if (facts.usage !== null && facts.providerCalled) {
      facts.costUsd = this.#accounting.cost(facts.model, facts.usage, facts.provider);
    }
  }
}

function terminalOf(turn: Turn, outcome: TurnOutcome): TerminalEvent {
  const { facts } = turn;
  const response: ResponseObject = {
    ...turn.journal.accumulator.response(),
    model: facts.model,
    usage: facts.usage,
    sluice: sluiceFacts(turn.plan, facts),
  };
  return terminalEvent(response, outcome, turn.time.date());
}

/** The one terminal event of a response that ended so. */
export function terminalEvent(response: ResponseObject, outcome: TurnOutcome, nowMs: number): TerminalEvent {
  const seconds = Math.floor(nowMs / 1_000);
  switch (outcome.end) {
    case 'completed':
      return { type: 'response.completed', response: { ...response, status: 'completed', completed_at: seconds } };
    case 'incomplete': {
      const status: ResponseStatus = outcome.reason === 'cancelled' ? 'cancelled' : 'incomplete';
      return {
        type: 'response.incomplete',
        response: { ...response, status, incomplete_details: { reason: outcome.reason } },
      };
    }
    case 'failed':
      return { type: 'response.failed', response: { ...response, status: 'failed', error: errorOf(outcome.error) } };
  }
}

function errorOf(error: SluiceError): { code: string; message: string } {
  return { code: error.code, message: error.message };
}
