/*
 * Ends the turns of replicas that went away: takes over leases that have run out, closes what the lost replica left open, keeps the
 * partial text, and appends the one terminal event that is missing. Any replica may do it; the lease gives each to one of them.
 */

import { ResponseAccumulator } from '../domain/accumulator.js';
import { SluiceError } from '../domain/errors.js';
import { type ResponseEvent, serialize, type TerminalEvent } from '../domain/event.js';
import { type Log } from '../observability/log.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type ResponseStore } from '../state/conversation-store.js';
import { type EventLog, type Fence, type LogHead, type TurnLease } from '../state/event-log.js';
import { keepingOf, type TurnMemory } from './memory.js';
import { parseLogged, terminalOf } from './response-reader.js';
import { terminalEvent } from './settlement.js';

export interface OrphanParts {
  readonly log: EventLog;
  readonly lease: TurnLease;
  readonly claim: ConversationClaim;
  readonly responses: ResponseStore;
  readonly memory: TurnMemory;
  readonly logger: Log;
  /** A lost replica's turn has its terminal event. */
  readonly onEnded?: () => void;
}

/** Most responses taken over at once, so that one replica does not take all of a lost one's load. */
const AT_ONCE = 16;

export class OrphanSweep {
  readonly #parts: OrphanParts;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();

  constructor(parts: OrphanParts) {
    this.#parts = parts;
  }

  start(everyMs: number): void {
    this.#timer ??= setInterval(() => {
      this.#sweeping = this.sweep().catch(() => undefined);
    }, everyMs).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  /** Ends what is lost now; resolves to how many turns that were. */
  async sweep(): Promise<number> {
    const adopted = await this.#parts.lease.adoptExpired(AT_ONCE);
    for (const { responseId, fence } of adopted) await this.#end(responseId, fence);
    return adopted.length;
  }

  async #end(responseId: string, fence: Fence): Promise<void> {
    const { log, responses, memory, claim, logger } = this.#parts;
    const told = await this.#readAll(responseId);
    if (told === undefined) return;
    const { head, events } = told;
    const first = events[0];
    if (first === undefined || !('response' in first)) {
      await log.delete(responseId);
      return;
    }
    const accumulator = new ResponseAccumulator(first.response);
    for (const event of events) accumulator.apply(event);

    // A stored response means that the lost replica had committed everything but the terminal event.
    const stored = await responses.get(responseId);
    const closing = accumulator.closing('incomplete');
    for (const event of closing) accumulator.apply(event);
    let terminal: TerminalEvent;
    if (stored !== undefined) terminal = terminalOf(stored.response);
    else {
      const response = accumulator.response();
      const left = keepingOf(response, head.input, false);
      const lost = new SluiceError(
        'replica_lost',
        'unable to finish the answer; the replica that ran it is gone; what it had written is kept; ask again',
      );
      terminal = terminalEvent(
        { ...response, sluice: { ...response.sluice, kept: left.kept } },
        { end: 'failed', error: lost },
        Date.now(),
      );
      const terminalSequence = events.length + closing.length;
      await memory.commit({
        owner: head.owner,
        response: terminal.response,
        input: head.input,
        left,
        terminalSequence,
        history: null,
      });
    }
    await log.append(
      responseId,
      fence,
      [...closing, terminal].map((event, i) => serialize(event, events.length + i)),
    );
    if (head.conversationId !== null) await claim.leave(head.conversationId, responseId);
    this.#parts.onEnded?.();
    logger.warn({ response_id: responseId, conversation_id: head.conversationId }, 'ended the turn of a lost replica');
  }

  async #readAll(responseId: string): Promise<{ head: LogHead; events: ResponseEvent[] } | undefined> {
    const events: ResponseEvent[] = [];
    for (;;) {
      const page = await this.#parts.log.read(responseId, events.length - 1, 500);
      if (page === undefined) return undefined;
      events.push(...page.events.map(parseLogged));
      if (page.events.length === 0 || events.length > page.last) return { head: page.head, events };
    }
  }
}
