/*
 * Deletes ended responses. A response whose end is stored and whose terminal event is still being
 * written is deleted after it, so that its viewers see the end.
 */

import { type Principal } from '../domain/principal.js';
import { isEnded, type ResponseObject } from '../domain/response.js';
import { type ResponseStore } from '../state/conversation-store.js';
import { type EventLog } from '../state/event-log.js';
import { stillRunning } from './response-errors.js';
import { type ResponseSnapshots } from './response-snapshots.js';

/** What a deletion reads. Implemented by ResponseReader. */
interface RemovalReader {
  retrieve(caller: Principal, responseId: string): Promise<ResponseObject>;
  status(caller: Principal, responseId: string): Promise<'running' | 'ended'>;
  settled(caller: Principal, responseId: string, signal: AbortSignal, waitMs: number): Promise<ResponseObject>;
}

export interface ResponseRemovalParts {
  readonly reader: RemovalReader;
  readonly events: Pick<EventLog, 'delete'>;
  readonly responses: Pick<ResponseStore, 'delete'>;
  readonly snapshots: Pick<ResponseSnapshots, 'forget'>;
  /**
   * How long a delete waits for the terminal event of a response whose end is stored, in
   * milliseconds.
   */
  readonly terminalWithinMs: number;
}

/**
 * Removes an ended response and its log.
 * @throws SluiceError `response_not_found`, `response_still_running`
 */
export async function removeResponse(
  caller: Principal,
  responseId: string,
  { reader, events, responses, snapshots, terminalWithinMs }: ResponseRemovalParts,
): Promise<void> {
  const kept = isEnded((await reader.retrieve(caller, responseId)).status);
  if (kept && (await reader.status(caller, responseId)) === 'running') {
    await reader.settled(caller, responseId, new AbortController().signal, terminalWithinMs);
  }
  if ((await reader.status(caller, responseId)) === 'running') throw stillRunning();
  await responses.delete(responseId);
  await events.delete(responseId);
  snapshots.forget(responseId);
}

/**
 * Deletes a stored response, and its log if that has ended. A turn leaves its conversation's queue
 * just before it writes its terminal event. If a log were deleted in between, its viewers would
 * never see the end. A log without its end is therefore left to expire.
 */
export async function removeWithLog(
  responseId: string,
  responses: Pick<ResponseStore, 'delete'>,
  events: Pick<EventLog, 'read' | 'delete'>,
): Promise<void> {
  await responses.delete(responseId);
  const page = await events.read(responseId, -1, 0);
  if (page?.ended !== false) await events.delete(responseId);
}
