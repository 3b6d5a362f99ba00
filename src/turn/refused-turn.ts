/*
 * Ends the log of a turn that was refused after its log was created, or when the creation was not
 * answered. Viewers may have found it, through the queue of the conversation or an announcement:
 * they see the turn fail. A replica that took over such a turn would store its input, which the
 * refused caller sends again.
 */

import { type SluiceError } from '../domain/errors.js';
import { serialize } from '../domain/event.js';
import { type Time } from '../domain/time.js';
import { type EventLog, type Fence, type LogHead } from '../state/event-log.js';
import { type ResponseObject } from '../domain/response.js';
import { classOf } from './caller-rules.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { terminalEvent } from './settlement.js';
import { keepingNothing, NOTHING, type TurnContexts } from './turn-context.js';
import { type TurnReport } from './turn-report.js';

export interface RefusedTurnParts {
  readonly events: EventLog;
  readonly contexts: Pick<TurnContexts, 'endOf'>;
  readonly report: Pick<TurnReport, 'endedUnrun'>;
  readonly time: Time;
  /** How long each step is retried while the store is unavailable, in milliseconds. */
  readonly giveUpMs?: number;
}

/** The fence of a log that no replica has taken over. */
const FIRST_FENCE: Fence = 1;

/**
 * Appends the failure, and stores it if the request has `store`. Has no effect if the log does not
 * exist or has ended. Called when the turn has left its queue: a creation that arrives later begins
 * no turn then.
 * @param error why the request was refused
 * @returns whether no other replica ends the log and settles what the turn reserved
 * @throws SluiceError `state_unavailable` if the store stays away
 */
export async function endRefusedTurn(
  { events, contexts, report, time, giveUpMs }: RefusedTurnParts,
  { responseId, owner, limitsClass, input }: LogHead,
  response: ResponseObject,
  error: SluiceError,
): Promise<boolean> {
  const retrying = { time, ...(giveUpMs === undefined ? {} : { giveUpMs }) };
  const log = await retryWhileUnavailable(() => events.read(responseId, -1, 0), retrying);
  if (log === undefined) return true;
  if (log.ended) return false;
  const terminal = terminalEvent(keepingNothing(response), { end: 'failed', error }, time.date());
  const sequence = log.last + 1;
  const ending = [serialize(terminal, sequence)];
  const { outcome } = await retryWhileUnavailable(async () => {
    if (!response.store) return events.append(responseId, FIRST_FENCE, ending);
    const ended = {
      owner,
      ...classOf(limitsClass),
      response: terminal.response,
      input,
      left: NOTHING,
      terminalSequence: sequence,
      history: null,
    };
    return events.end(responseId, FIRST_FENCE, ending, await contexts.endOf(ended));
  }, retrying);
  if (outcome !== 'appended') return false;
  report.endedUnrun(terminal.response);
  return true;
}
