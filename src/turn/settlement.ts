/*
 * Ends a turn: computes usage and cost, closes open items, commits the items, and appends the
 * terminal event last and exactly once. A viewer that receives the terminal event finds the items
 * stored.
 */

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type TerminalEvent } from '../domain/event.js';
import { type StoredItem } from '../domain/item.js';
import { type ResponseObject, type ResponseStatus, type StoredResponse } from '../domain/response.js';
import { account, type Accounting } from './accounting.js';
import { type TurnPlan } from './admission.js';
import { type EndedTurn, type Keeping, keepingNothing, keepingOf, NOTHING, type TurnContexts } from './turn-context.js';
import { outcomeOfResponse, type TurnOutcome } from './outcome.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { terminalOf } from './logged-response.js';
import { sluiceFacts, type Turn } from './turn.js';
import { classOf } from './caller-rules.js';

export class Settlement {
  readonly #contexts: TurnContexts;
  readonly #accounting: Accounting;

  constructor(contexts: TurnContexts, accounting: Accounting) {
    this.#contexts = contexts;
    this.#accounting = accounting;
  }

  /**
   * Ends `turn`, and resolves when its terminal event is in the log.
   * @param leave releases the turn's place in its conversation. Called before the terminal event,
   * if the commit did not release it
   * @returns the outcome that was reported, or `lost` if another replica owns the log or it cannot
   * be written; the replica that ends the turn then stores its items
   */
  async settle(turn: Turn, outcome: TurnOutcome, leave: () => Promise<void>): Promise<TurnOutcome | 'lost'> {
    const { journal, writer, facts } = turn;
    await account(turn, this.#accounting).catch(() => undefined);
    // What is left to write goes with the items or with the terminal event, in fewer steps.
    journal.hold();
    writer.close(outcome.end === 'completed' ? 'completed' : 'incomplete');

    const response = { ...journal.accumulator.response(), id: turn.responseId };
    const keeping = facts.begun
      ? keepingOf(
          response,
          turn.input,
          facts.inputRefused || isMediaRefused(turn, outcome),
          turn.plan.showReasoning ? '' : facts.reasoned,
        )
      : NOTHING;
    const kept = await this.#contexts.leave(turn, response, keeping).catch(asSluiceError);
    if (kept === undefined || journal.lost !== undefined) return 'lost';
    if (kept instanceof SluiceError) await leave();
    else facts.placeReleased = true;
    const reported = await this.#writeEnd(turn, endOf(turn, outcome, keeping, kept));
    return journal.ended ? reported : 'lost';
  }

  /**
   * Writes the terminal event and stores the response with it.
   * @returns the outcome that was reported: that of the turn, or of an end that another replica has
   * stored already
   */
  async #writeEnd(turn: Turn, { outcome, terminal, ended }: End): Promise<TurnOutcome> {
    const { journal, facts } = turn;
    try {
      const endedBefore = await journal.end(terminal, await this.#toStore(turn, outcome, ended));
      if (endedBefore === undefined) return outcome;
      const { response } = endedBefore;
      reportStored(turn, response);
      await journal.end(terminalOf(response));
      return outcomeOfResponse(response);
    } catch (thrown) {
      // Without a conversation nothing is kept of a response that could not be stored.
      facts.unstored = asSluiceError(thrown);
      const { response } = terminal;
      if (response.conversation === null) facts.kept = 'nothing';
      await journal.end(
        response.conversation === null ? { ...terminal, response: keepingNothing(response) } : terminal,
      );
      return outcome;
    }
  }

  /** Returns the stored form of a response, or undefined if its request has `store: false`. */
  async #toStore(turn: Turn, outcome: TurnOutcome, ended: EndedTurn): Promise<StoredResponse | undefined> {
    const { journal, time } = turn;
    if (journal.lost !== undefined) return undefined;
    if (!ended.response.store) {
      await this.#rememberUnstored(turn, outcome, ended);
      return undefined;
    }
    return retryWhileUnavailable(() => this.#contexts.endOf(ended), { wanted: () => journal.lost === undefined, time });
  }

  /** Lets the caller's connection continue from a response that is not stored. */
  async #rememberUnstored({ plan, responseId }: Turn, { end }: TurnOutcome, ended: EndedTurn): Promise<void> {
    if (plan.unstored === undefined || plan.source.kind === 'conversation' || end === 'failed') return;
    const { context } = await this.#contexts.endOf({ ...ended, history: ended.history ?? [] });
    plan.unstored.remember(plan.caller.owner, responseId, context);
  }
}

/**
 * Whether the provider rejected an image or file of the input. Sent again, it would make every
 * later turn fail.
 */
function isMediaRefused({ plan }: Turn, outcome: TurnOutcome): boolean {
  return plan.needs !== undefined && outcome.end === 'failed' && outcome.error.code === 'unsupported_content';
}

/** Returns the items before a turn that read no context, or null if they are not known. */
function chainOf({ source }: TurnPlan): readonly StoredItem[] | null {
  return source.kind === 'previous' ? source.context : null;
}

interface End {
  readonly outcome: TurnOutcome;
  readonly terminal: TerminalEvent;
  readonly ended: EndedTurn;
}

/**
 * Decides how a turn ends. The outcome changes if its items could not be stored.
 * @param kept whether the conversation still exists, or why the items could not be stored
 */
function endOf(turn: Turn, outcome: TurnOutcome, keeping: Keeping, kept: boolean | SluiceError): End {
  const { journal, facts, plan } = turn;
  facts.kept = kept === true ? keeping.kept : 'nothing';
  const end = kept instanceof SluiceError ? ({ end: 'failed', error: kept } as const) : outcome;
  const terminal = terminalFor(turn, end);
  if (end.end === 'failed' && plan.source.kind === 'previous') plan.unstored?.forget(plan.source.id);
  const ended = {
    owner: plan.caller.owner,
    ...classOf(plan.caller.limitsClass),
    response: terminal.response,
    input: turn.input,
    left: kept instanceof SluiceError ? NOTHING : keeping,
    terminalSequence: journal.nextSequence,
    history: kept === false ? [] : (facts.context?.history ?? chainOf(plan)),
  };
  return { outcome: end, terminal, ended };
}

/**
 * Takes over the end that another replica has stored for this turn, so that viewers, metrics and
 * the log report only that end.
 */
function reportStored({ facts }: Turn, response: ResponseObject): void {
  const { sluice } = response;
  facts.kept = sluice.kept;
  facts.model = response.model;
  facts.provider = sluice.provider;
  facts.inputRefused = sluice.kept === 'display_only';
  // This replica made the call, so it knows the usage if the other one does not.
  facts.usage = response.usage ?? facts.usage;
  facts.costUsd = sluice.cost_usd ?? facts.costUsd;
}

function terminalFor(turn: Turn, outcome: TurnOutcome): TerminalEvent {
  const { facts } = turn;
  const response: ResponseObject = {
    ...turn.journal.accumulator.response(),
    model: facts.model,
    usage: facts.usage,
    sluice: sluiceFacts(turn.plan, facts),
  };
  return terminalEvent(response, outcome, turn.time.date());
}

/** Builds the terminal event of a response for its outcome. */
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
      return {
        type: 'response.failed',
        response: {
          ...response,
          status: 'failed',
          error: errorOf(outcome.error),
          sluice: { ...response.sluice, retry: retryOf(outcome.error) },
        },
      };
  }
}

/** Keeps in the response when to retry, so that a later HTTP answer can send it in headers. */
function retryOf({ retryable, retryAfterMs }: SluiceError): NonNullable<ResponseObject['sluice']['retry']> {
  return { retryable, after_ms: retryAfterMs };
}

function errorOf(error: SluiceError): NonNullable<ResponseObject['error']> {
  return { type: error.type, code: error.code, message: error.message };
}
