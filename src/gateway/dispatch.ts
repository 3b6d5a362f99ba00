/* What each client event does: one case an event, in the order of PROTOCOL.md §5. Everything refused is answered. */

import { asSluiceError, SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type ResponseStatus } from '../domain/response.js';
import { type ClientEvent, parseClientEvent, ProtocolRefusal } from '../protocol/client-events.js';
import { type ResumePoint } from '../protocol/resume-query.js';
import { encodeSteerFailed } from '../protocol/server-events.js';
import { type Viewer } from '../state/viewer.js';
import { responseExpired } from '../turn/response-reader.js';
import { type Connection } from './connection.js';
import { CreateTask, ErrorTask, WaitTask } from './create-task.js';
import { type FollowEnd } from './outbound.js';

/** A cancel waits this long for the terminal event: a lost owner's is 12 s away at most. */
const CANCEL_WAIT_MS = 12_000;

/** One text frame. */
export function dispatch(connection: Connection, text: string): void {
  let event: ClientEvent;
  try {
    event = parseClientEvent(text);
  } catch (thrown) {
    const { error, streamId, creates } = refusalOf(thrown);
    if (creates) refuseCreate(connection, error, streamId);
    else refuseInLane(connection, error, streamId);
    return;
  }
  if (event.type.startsWith('sluice:')) connection.snapshots = true;
  switch (event.type) {
    case 'response.create':
      create(connection, event);
      return;
    case 'response.cancel':
      answer(connection, event.streamId, cancel(connection, event));
      return;
    case 'response.steer':
      connection.outbound.send(encodeSteerFailed(event.previousResponseId, event.input, event.streamId));
      return;
    case 'sluice:resume':
      resume(connection, event);
      return;
    case 'sluice:subscribe':
      answer(connection, event.streamId, connection.subscriptions.subscribe(event.conversation, event.streamId));
      return;
    case 'sluice:unsubscribe':
      connection.subscriptions.unsubscribe(event.conversation);
      return;
    case 'sluice:auth':
      answer(connection, undefined, authenticate(connection, event.token));
      return;
    case 'sluice:ping':
      connection.tell({ type: 'sluice:pong', id: event.id });
      return;
  }
}

function create(connection: Connection, event: Extract<ClientEvent, { type: 'response.create' }>): void {
  const { request, streamId, idempotencyKey, traceparent } = event;
  try {
    const lane = connection.lane(streamId);
    connection.admit();
    lane.push(new CreateTask(connection, { request, streamId, idempotencyKey, traceparent }));
  } catch (thrown) {
    refuseCreate(connection, asSluiceError(thrown), streamId);
  }
}

async function cancel(connection: Connection, event: Extract<ClientEvent, { type: 'response.cancel' }>): Promise<void> {
  const { responseId, streamId } = event;
  if (responseId !== undefined) {
    await cancelResponse(connection, responseId, undefined);
    return;
  }
  for (const task of connection.knownLane(streamId)?.tasks ?? []) task.cancel();
}

async function cancelResponse(connection: Connection, responseId: string, streamId: string | undefined): Promise<void> {
  const { turns, reader } = connection.parts;
  const following = connection.outbound.followings.has(responseId);
  await turns.cancel(connection.principal, responseId);
  // A viewer is told by the terminal event itself.
  if (following) return;
  const response = await connection.waiting(() =>
    reader.settled(connection.principal, responseId, AbortSignal.timeout(CANCEL_WAIT_MS)),
  );
  connection.tell({ type: 'sluice:cancelled', response_id: responseId, status: response.status, stream_id: streamId });
}

/**
 * Goes on with a response after the last event its client has seen: at once, whatever runs in the lane. It takes its place there
 * before anything is asked, so that what follows it in the lane, and its refusal too, comes in order.
 */
export function resume(connection: Connection, point: ResumePoint): void {
  const { responseId, streamId } = point;
  try {
    const lane = connection.lane(streamId);
    const end = resumeToEnd(connection, point);
    end.catch((thrown: unknown) => connection.countRefusal(asSluiceError(thrown)));
    lane.push(new WaitTask(connection, { responseId, streamId }, end));
  } catch (thrown) {
    refuseInLane(connection, asSluiceError(thrown), streamId);
  }
}

async function resumeToEnd(connection: Connection, point: ResumePoint): Promise<void> {
  const { resumes_total: resumes } = connection.parts.metrics.of;
  let resumed: Resumed;
  try {
    resumed = await connection.waiting(() => begin(connection, point));
  } catch (thrown) {
    resumes.inc({ mode: 'refused' });
    throw thrown;
  }
  resumes.inc({ mode: resumed.mode });
  if ((await resumed.end) === 'lost') throw responseExpired();
}

interface Resumed {
  readonly mode: 'replay' | 'snapshot' | 'stored';
  readonly end: FollowEnd | Promise<FollowEnd>;
}

/** Throws like `ResponseReader.open`. */
async function begin(connection: Connection, point: ResumePoint): Promise<Resumed> {
  const { responseId, startingAfter, streamId } = point;
  connection.checkRoomToFollow();
  let viewer: Viewer | undefined;
  try {
    viewer = await connection.view(responseId, startingAfter);
  } catch (thrown) {
    if (!(thrown instanceof SluiceError && thrown.code === 'response_expired' && connection.snapshots)) throw thrown;
    await connection.sendSnapshot(responseId, streamId);
    return { mode: 'stored', end: 'ended' };
  }
  if (viewer === undefined) return { mode: 'replay', end: 'ended' };
  const long = connection.longReplay(viewer.last - startingAfter);
  try {
    if (long) {
      const sequence = await connection.sendSnapshot(responseId, streamId);
      if (sequence === 'ended') {
        viewer.close();
        return { mode: 'stored', end: 'ended' };
      }
      viewer.skipTo(sequence);
    } else {
      const status = await statusOf(connection, responseId, viewer);
      const told = { response_id: responseId, starting_after: startingAfter, status, stream_id: streamId };
      connection.tell({ type: 'sluice:resumed', ...told });
    }
  } catch (thrown) {
    viewer.close();
    throw thrown;
  }
  const following = connection.outbound.follow(responseId, viewer, streamId);
  following.asked = true;
  return { mode: long ? 'snapshot' : 'replay', end: following.end };
}

/** A running response is not folded from its log for this: past its first two events it can only be in progress. */
async function statusOf(connection: Connection, responseId: string, viewer: Viewer): Promise<ResponseStatus> {
  const { parts, principal } = connection;
  if (viewer.last > 1 && (await parts.reader.status(principal, responseId)) === 'running') return 'in_progress';
  return (await parts.reader.retrieve(principal, responseId)).status;
}

async function authenticate(connection: Connection, token: string): Promise<void> {
  const principal = await connection.parts.authenticator.authenticate(token);
  if (principal.owner !== connection.principal.owner) {
    throw new SluiceError(
      'invalid_api_key',
      'unable to change the credential; it belongs to somebody else; open a new connection for them',
    );
  }
  connection.renewCredential(principal);
  connection.tell({ type: 'sluice:authenticated' });
}

/** Answers with an error event where the asynchronous work of an event fails. */
function answer(connection: Connection, streamId: string | undefined, work: Promise<void>): void {
  work.catch((thrown: unknown) => refuseInLane(connection, asSluiceError(thrown), streamId));
}

function refuseInLane(connection: Connection, error: SluiceError, streamId: string | undefined): void {
  connection.countRefusal(error);
  refuseInOrder(connection, error, streamId);
}

/** A request for a turn that never became one, over a socket as over REST. */
function refuseCreate(connection: Connection, error: SluiceError, streamId: string | undefined): void {
  const startedAt = performance.now();
  connection.countRefusal(error);
  inOrder(connection, streamId, () => connection.refuseCreate(error, streamId, newId('req'), startedAt));
}

function refuseInOrder(connection: Connection, error: SluiceError, streamId: string | undefined): void {
  inOrder(connection, streamId, () => connection.refuse(error, streamId));
}

/** An error in a lane that runs stands after what runs there: the official client ends a lane's response with it. */
function inOrder(connection: Connection, streamId: string | undefined, tell: () => void): void {
  const lane = connection.knownLane(streamId);
  if (lane === undefined || lane.tasks.length === 0) tell();
  else lane.push(new ErrorTask(tell));
}

function refusalOf(thrown: unknown): Pick<ProtocolRefusal, 'error' | 'streamId' | 'creates'> {
  if (thrown instanceof ProtocolRefusal) return thrown;
  return { error: asSluiceError(thrown), streamId: undefined, creates: false };
}
