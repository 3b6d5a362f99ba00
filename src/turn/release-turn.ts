/*
 * Releases the resources of a turn that ends or breaks: its place in the conversation and its
 * lease.
 */

import { type ConversationClaim } from '../state/conversation-claim.js';
import { type EventLog, type TurnLease } from '../state/event-log.js';
import { type ResponseReader } from './response-reader.js';
import { retryWhileUnavailable } from './retry-while-unavailable.js';
import { type Turn } from './turn.js';

/**
 * Releases the turn's place in its conversation. Called before the terminal event: a caller that
 * receives it may send the next request at once.
 */
export async function releasePlace(
  { plan: { source }, responseId, facts }: Turn,
  claim: ConversationClaim,
): Promise<void> {
  if (source.kind !== 'conversation') return;
  await claim.leave(source.id, responseId).then(
    () => (facts.placeReleased = true),
    () => undefined,
  );
}

/**
 * Releases the place of an ended turn, if `releasePlace` did not run or failed. If the log is still
 * open, the replica that ends the turn releases the place after its commit.
 */
export async function leaveConversation(
  turn: Turn,
  { claim, events }: { readonly claim: ConversationClaim; readonly events: EventLog },
): Promise<void> {
  const { source } = turn.plan;
  if (source.kind !== 'conversation' || turn.facts.placeReleased) return;
  if (!turn.journal.ended && (await isLogOpen(turn, events))) return;
  await retryWhileUnavailable(() => claim.leave(source.id, turn.responseId), { time: turn.time }).catch(
    () => undefined,
  );
}

/**
 * Stops writing to a log without a terminal event and releases its lease, so that the next sweep of
 * any replica ends the turn. Has no effect if another replica owns the turn already.
 */
export async function handOver({ responseId, fence, journal }: Turn, lease: TurnLease): Promise<void> {
  journal.leaseLost();
  await lease.release(responseId, fence).catch(() => undefined);
}

/**
 * Whether the end of a turn was never reported and no other replica will report it, because its log
 * is gone. A log can also be gone after a report: another replica took the turn over and reported
 * its end, and a client deleted the response, while this replica was stalled. Counting the turn
 * here would count it twice then. The stored end, or the mark of the deletion, shows that a report
 * was made, unless an append of the terminal event by this replica itself was not answered.
 */
export async function isUnreported(
  { responseId, journal, time }: Turn,
  { events, reader }: { readonly events: EventLog; readonly reader: Pick<ResponseReader, 'hasEnded'> },
): Promise<boolean> {
  try {
    // Retry: a failed read does not prove that the log exists. If this replica assumed that it
    // does, no replica would count a turn whose log is gone.
    const page = await retryWhileUnavailable(() => events.read(responseId, -1, 0), { time });
    if (page !== undefined) return false;
    return journal.mayHaveEnded || !(await retryWhileUnavailable(() => reader.hasEnded(responseId), { time }));
  } catch {
    return false;
  }
}

/** Whether the log of a turn has no end yet. Counts a log that cannot be read as open. */
function isLogOpen({ responseId }: Turn, events: EventLog): Promise<boolean> {
  return events.read(responseId, -1, 0).then(
    (page) => page !== undefined && !page.ended,
    () => true,
  );
}
