/*
 * Deletes a conversation with its items and, unless they are kept, the responses of its items, and
 * cancels the turns that run or wait in it.
 */

import { sleep, type Time } from '../domain/time.js';
import { type ConversationClaim } from '../state/conversation-claim.js';
import { type ConversationStore, type ResponseStore } from '../state/conversation-store.js';
import { type EventLog, LOG_TIMES } from '../state/event-log.js';
import { conversationNotFound } from './response-errors.js';
import { removeWithLog } from './response-removal.js';

interface CancelParts {
  readonly claim: Pick<ConversationClaim, 'members'>;
  readonly events: Pick<EventLog, 'requestCancel' | 'read'>;
  readonly responses: Pick<ResponseStore, 'delete'>;
  readonly time: Time;
}

export interface ConversationRemovalParts extends CancelParts {
  readonly store: Pick<ConversationStore, 'delete' | 'listItems'>;
  readonly events: Pick<EventLog, 'requestCancel' | 'read' | 'delete'>;
}

const LOOK_FIRST_MS = 10;
const LOOK_MOST_MS = 500;

/**
 * Deletes a conversation. Resolves when the cancel of every turn in it is stored: for one that is
 * just beginning within one lease (8 s).
 * @param answers `delete`: the responses of its items are deleted too, and those that run are not
 * stored at their end; `keep`: they stay
 * @throws SluiceError `conversation_not_found`
 */
export async function removeConversation(
  id: string,
  answers: 'delete' | 'keep',
  parts: ConversationRemovalParts,
): Promise<void> {
  const { store, events, responses } = parts;
  const ended = answers === 'keep' ? new Set<string>() : await responsesIn(id, store);
  if (!(await store.delete(id, answers))) throw conversationNotFound();
  for (const responseId of await cancelTurnsIn(id, answers, parts)) ended.delete(responseId);
  for (const responseId of ended) await removeWithLog(responseId, responses, events);
}

/**
 * Cancels the turns that run or wait in a deleted conversation. Resolves when every cancel is
 * stored.
 * @param answers `keep`: their responses are stored at their end
 * @returns their responses
 */
export async function cancelTurnsIn(
  id: string,
  answers: 'delete' | 'keep',
  parts: CancelParts,
): Promise<readonly string[]> {
  const { claim, events, responses } = parts;
  const members = await claim.members(id);
  const beginning: string[] = [];
  for (const responseId of members) {
    if (!(await events.requestCancel(responseId))) beginning.push(responseId);
    // The mark of the deletion keeps the turn from storing its end. Its viewers still get it.
    if (answers === 'delete') await responses.delete(responseId);
  }
  await Promise.all(beginning.map((responseId) => cancelAtBegin(id, responseId, parts)));
  return members;
}

/** Returns the responses that added the items of a conversation. */
async function responsesIn(id: string, store: Pick<ConversationStore, 'listItems'>): Promise<Set<string>> {
  const found = new Set<string>();
  let after: string | undefined;
  for (;;) {
    const query = { limit: 100, order: 'asc', ...(after === undefined ? {} : { after }) } as const;
    const { data, hasMore } = await store.listItems(id, query);
    for (const { responseId } of data) if (responseId !== null) found.add(responseId);
    after = data.at(-1)?.item.id;
    if (!hasMore || after === undefined) return found;
  }
}

/**
 * Cancels a turn that could not be cancelled, because its log did not exist yet. A turn takes its
 * place in the queue before it creates its log, and the head has read the conversation by then.
 * Without this such a turn would answer in a deleted conversation. Waits for the log for one lease:
 * a turn that creates its log later than that loses its place, and reads the conversation again.
 */
async function cancelAtBegin(id: string, responseId: string, { claim, events, time }: CancelParts): Promise<void> {
  // Clients that add items hold a place, too, and never have a log.
  if (!responseId.startsWith('resp_')) return;
  const giveUpAt = time.now() + LOG_TIMES.leaseMs;
  for (let delayMs = LOOK_FIRST_MS; time.now() < giveUpAt; delayMs = Math.min(delayMs * 2, LOOK_MOST_MS)) {
    const isMember = (await claim.members(id)).includes(responseId);
    if (await events.requestCancel(responseId)) return;
    const log = await events.read(responseId, -1, 0);
    if (log?.ended === true || !isMember) return;
    await sleep(time, delayMs);
  }
}
