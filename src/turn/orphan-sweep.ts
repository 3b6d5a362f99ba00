/*
 * Ends the turns of lost replicas: takes over expired leases, closes the items that the lost
 * replica left open, keeps the partial text, and appends the missing terminal event. Any replica
 * may do this, and the lease assigns each turn to one of them.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { SluiceError } from '../domain/errors.js';
import { type ResponseEvent, serialize, type TerminalEvent } from '../domain/event.js';
import { type OutputItem } from '../domain/item.js';
import { type ResponseObject } from '../domain/response.js';
import { every, systemTime, type Time } from '../domain/time.js';
import { type Log, type LogFields } from '../observability/log.js';
import { type ConversationAnnouncements } from '../state/conversation-announcements.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type ResponseStore } from '../state/conversation-store.js';
import { type EventLog, type Fence, LOG_TIMES, type LogHead, type TurnLease } from '../state/event-log.js';
import { keepingOf, NOTHING, type TurnContexts } from './turn-context.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { parseLogged, terminalOf } from './logged-response.js';
import { type TurnLimits } from './turn-limits.js';
import { estimateLostUsage } from './lost-usage.js';
import { type Accounting } from './accounting.js';
import { terminalEvent } from './settlement.js';
import { classOf } from './caller-rules.js';

export interface OrphanParts {
  readonly events: EventLog;
  readonly lease: TurnLease;
  readonly claim: ConversationClaim;
  readonly announcements: Pick<ConversationAnnouncements, 'announce'>;
  readonly responses: ResponseStore;
  readonly contexts: TurnContexts;
  readonly logger: Log;
  readonly time?: Time;
  /** Called when the turn of a lost replica has its terminal event, with the ended response. */
  readonly onEnded?: (response: ResponseObject) => void;
  /** Estimates the usage of a lost replica's turn. */
  readonly accounting: Accounting;
  /** Replaces what the turn reserved by what it used. */
  readonly limits: Pick<TurnLimits, 'settle'>;
}

/**
 * Maximum number of turns taken over in one sweep, so that one replica does not take the whole load
 * of a lost one.
 */
const AT_ONCE = 16;

export class OrphanSweep {
  readonly #parts: OrphanParts;
  readonly #time: Time;
  #stopSweeping: (() => void) | undefined;
  #sweeping: Promise<unknown> | undefined;

  constructor(parts: OrphanParts) {
    this.#parts = parts;
    this.#time = parts.time ?? systemTime;
  }

  /** Sweeps every `everyMs`, one sweep at a time. */
  start(everyMs: number): void {
    let lastAt = this.#time.now();
    this.#stopSweeping ??= every(this.#time, everyMs, () => {
      // After a stall of this process the leases of its own turns may have expired, and this timer
      // may run before the timers that renew them. With state in memory a sweep would then end
      // turns that run here. Skip one sweep, so that they can renew first.
      const stoodStill = this.#time.now() - lastAt > everyMs + LOG_TIMES.renewEveryMs;
      lastAt = this.#time.now();
      if (stoodStill) return;
      this.#sweeping ??= this.sweep()
        .catch((error: unknown) => this.#failed(error, {}))
        .finally(() => (this.#sweeping = undefined));
    });
  }

  async stop(): Promise<void> {
    this.#stopSweeping?.();
    await this.#sweeping;
  }

  /**
   * Ends the turns whose leases have expired. A failure to end one does not affect the others.
   * @returns how many turns were taken over
   */
  async sweep(): Promise<number> {
    const adopted = await this.#parts.lease.adoptExpired(AT_ONCE);
    await Promise.all(
      adopted.map(({ responseId, fence }) =>
        this.#end(responseId, fence).catch((error: unknown) => this.#failed(error, { response_id: responseId })),
      ),
    );
    return adopted.length;
  }

  /**
   * Logs a failure. The turn is taken over again when its new lease expires. An unavailable store
   * is logged elsewhere.
   */
  #failed(error: unknown, ids: LogFields): void {
    if (error instanceof SluiceError && error.code === 'state_unavailable') return;
    this.#parts.logger.error({ ...ids, err: error }, 'unable to end the turn of a lost replica');
  }

  async #end(responseId: string, fence: Fence): Promise<void> {
    const { events, claim, announcements, logger } = this.#parts;
    const recorded = await this.#readAll(responseId);
    if (recorded === undefined) {
      // The log is gone, its head is damaged, or its text was erased with its conversation. No
      // replica can end such a log, and each takeover extends its life: it would be kept for ever.
      await events.delete(responseId);
      return;
    }
    const { conversationId } = recorded.head;
    if (recorded.events.length === 0) await events.delete(responseId);
    else {
      // The replica may have been lost before it announced the turn.
      if (conversationId !== null) await announcements.announce(conversationId, responseId);
      if (!(await this.#appendEnd(responseId, fence, recorded))) return;
    }
    if (recorded.broken) await events.delete(responseId);
    if (conversationId !== null) await claim.leave(conversationId, responseId);
    if (recorded.events.length === 0) return;
    logger.warn({ response_id: responseId, conversation_id: conversationId }, 'ended the turn of a lost replica');
  }

  /**
   * Commits and appends the end of a turn. The end of a broken log is only stored: after a gap the
   * sequence number of the terminal event is unknown.
   * @returns false if another replica has taken the turn over meanwhile and will end it
   */
  async #appendEnd(responseId: string, fence: Fence, { head, events, broken }: RecordedTurn): Promise<boolean> {
    const { responses } = this.#parts;
    const [first] = events;
    if (first === undefined || !('response' in first)) {
      throw new Error(`unable to end ${responseId}; its log does not begin with a response`);
    }
    const accumulator = new ResponseAccumulator(first.response);
    for (const event of events) accumulator.apply(event);
    const closing = accumulator.closing('incomplete');
    for (const event of closing) accumulator.apply(event);
    // If the response is stored, the lost replica had committed all but the terminal event.
    const stored = await responses.get(responseId);
    const terminal =
      stored === undefined
        ? await this.#commitLoss(head, accumulator.response(), events, events.length + closing.length)
        : terminalOf(stored.response);
    if (broken) {
      await this.#ended(head, terminal.response);
      return true;
    }
    const ending = [...closing, terminal].map((event, i) => serialize(event, events.length + i));
    // If the reply is lost, the log may have ended nevertheless. No other sweep takes it over then,
    // and its end would never be counted. Retry until the store replies: the append is idempotent,
    // so this sweep learns whether it ended the log.
    const { outcome } = await retryWhileUnavailable(() => this.#parts.events.append(responseId, fence, ending), {
      time: this.#time,
    });
    if (outcome !== 'appended') return false;
    await this.#ended(head, terminal.response);
    return true;
  }

  /**
   * Reports and settles an ended turn. Runs once per response, on the replica that ended the log.
   */
  async #ended({ reserved }: LogHead, response: ResponseObject): Promise<void> {
    const { onEnded, limits } = this.#parts;
    onEnded?.(response);
    const { usage, sluice } = response;
    // If settling fails, the reservation counts until the bucket has refilled.
    if (reserved !== undefined)
      await limits
        .settle(reserved, { usage, costUsd: sluice.cost_usd, provider: sluice.provider })
        .catch(() => undefined);
  }

  /**
   * Adds the estimated usage to the response of a turn that has called its provider: it had begun,
   * and its input was not refused.
   */
  async #countLoss(head: LogHead, response: ResponseObject, begun: boolean): Promise<ResponseObject> {
    if (!begun || wasRefused(response.output)) return response;
    const { usage, costUsd } = await estimateLostUsage(head, response, this.#parts.accounting);
    return { ...response, usage, sluice: { ...response.sluice, cost_usd: costUsd, usage_estimated: true } };
  }

  async #commitLoss(
    head: LogHead,
    response: ResponseObject,
    events: readonly ResponseEvent[],
    terminalSequence: number,
  ): Promise<TerminalEvent> {
    const begun = events.some(({ type }) => type === 'response.in_progress');
    const left = begun ? keepingOf(response, head.input, wasRefused(response.output)) : NOTHING;
    const counted = await this.#countLoss(head, response, begun);
    const lost = new SluiceError(
      'replica_lost',
      'unable to finish the answer; the replica that ran it is gone; send the request again',
    );
    const terminal = terminalEvent(
      { ...counted, sluice: { ...counted.sluice, kept: left.kept } },
      { end: 'failed', error: lost },
      this.#time.date(),
    );
    const committed = await this.#parts.contexts.commit({
      owner: head.owner,
      ...classOf(head.limitsClass),
      response: terminal.response,
      input: head.input,
      left,
      terminalSequence,
      history: null,
    });
    // Another replica, or the lost one after it resumed, may have stored an end first. The first
    // stored end counts.
    return committed === terminal.response ? terminal : terminalOf(committed);
  }

  /** Reads one event at a time up to the gap. @returns undefined if the log is gone or erased */
  async #readUpToGap(responseId: string, events: ResponseEvent[]): Promise<RecordedTurn | undefined> {
    const page = await this.#parts.events.read(responseId, -1, 0);
    if (page === undefined) return undefined;
    for (;;) {
      const next = await this.#parts.events.read(responseId, events.length - 1, 1);
      if (next === undefined || next.events.length === 0) return { head: page.head, events, broken: true };
      events.push(...next.events.map(parseLogged));
    }
  }

  async #readAll(responseId: string): Promise<RecordedTurn | undefined> {
    const events: ResponseEvent[] = [];
    for (;;) {
      const page = await this.#parts.events.read(responseId, events.length - 1, 500);
      if (page === undefined) return this.#readUpToGap(responseId, events);
      events.push(...page.events.map(parseLogged));
      if (page.events.length === 0 || events.length > page.last) return { head: page.head, events, broken: false };
    }
  }
}

/** What the log of a lost replica holds. */
interface RecordedTurn {
  readonly head: LogHead;
  readonly events: readonly ResponseEvent[];
  /**
   * Whether the log has a gap after `events`. Such a log is not read further, gets no terminal
   * event, and is deleted.
   */
  readonly broken: boolean;
}

/**
 * Whether an answer begins with a refusal. A guardrail may have refused the input then, so the
 * input must not reach a provider again. If the model itself refused, withholding the input costs
 * little.
 */
function wasRefused([first]: readonly OutputItem[]): boolean {
  return first?.type === 'message' && first.content[0]?.type === 'refusal';
}
