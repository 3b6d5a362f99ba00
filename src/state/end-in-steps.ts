/*
 * Ends a response in steps, for stores that cannot do it in one: appends the events before the
 * terminal event, stores the end, then appends the terminal event. If the replica is lost in
 * between, the one that ends the turn finds the stored end, or at least its text in the log.
 */

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { type LoggedEvent } from '../domain/event.js';
import { type StoredResponse } from '../domain/response.js';
import { type ResponseStore } from './conversation-store.js';
import { type EndResult, type EventLog, type Fence } from './event-log.js';

/** The end of a response could not be stored, for this cause, and its terminal was not appended. */
export class EndNotStored extends SluiceError {
  constructor(thrown: unknown) {
    const cause = asSluiceError(thrown);
    super(cause.code, cause.message, { cause });
  }
}

/** Ends a response, as `EventLog.end` describes it. */
export async function endInSteps(
  { events: log, responses }: EndingStores,
  responseId: string,
  fence: Fence,
  events: readonly LoggedEvent[],
  stored: StoredResponse,
): Promise<EndResult> {
  const before = events.slice(0, -1);
  if (before.length > 0) {
    const appended = await log.append(responseId, fence, before);
    if (appended.outcome === 'fenced') return appended;
  }
  const first = await responses.put(stored).catch((error: unknown) => {
    throw new EndNotStored(error);
  });
  // Undefined: the response was deleted.
  if (first !== undefined && first !== stored) return { outcome: 'ended_before', stored: first };
  return log.append(responseId, fence, events.slice(-1));
}

interface EndingStores {
  readonly events: Pick<EventLog, 'append'>;
  readonly responses: Pick<ResponseStore, 'put'>;
}
