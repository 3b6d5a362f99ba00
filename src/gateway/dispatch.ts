/*
 * Handles each client event: one case for each, in the order of PROTOCOL.md, section 5. Every
 * refused frame is answered.
 */

import { asSluiceError, type SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type ClientEvent, parseClientEvent, ProtocolRefusal } from '../protocol/socket/client-events.js';
import { type ResumePoint } from '../protocol/socket/resume-query.js';
import { encodeSteerFailed } from '../protocol/socket/server-events.js';
import { type ClientSocket } from './client-socket.js';
import { type Handshake } from './connection.js';
import { type ConnectionParts } from './connection-parts.js';
import { DispatchParts } from './dispatch-parts.js';
import { Cancels } from './cancels.js';
import { FollowedResponses } from './following/followed-responses.js';
import { type Following } from './following/following.js';
import { remember, WatchedConversations } from './following/watched-conversations.js';
import { checkEvent } from './event-rules.js';
import { FrameIntake } from './frame-intake.js';
import { CreateTask } from './lanes/create-task.js';
import { renewed } from './renewal.js';
import { UnstoredResponses } from '../turn/unstored-responses.js';

type Event<Type extends ClientEvent['type']> = Extract<ClientEvent, { type: Type }>;

/** Frames of fewer characters are not measured: reading them costs less than answering them. */
const MEASURED_CHARACTERS = 16_384;

/** Handles the frames of one connection. */
export class FrameDispatch extends DispatchParts {
  // Created when a client first uses them, so that an idle connection costs little.
  #intake: FrameIntake | undefined;
  #followed: FollowedResponses | undefined;
  #watched: WatchedConversations | undefined;
  #cancels: Cancels | undefined;
  #unstored: UnstoredResponses | undefined;
  /** Ids of responses that this connection created. */
  #created: Set<string> | undefined;
  #takesSnapshots: boolean;

  constructor(socket: ClientSocket, handshake: Handshake, parts: ConnectionParts) {
    super(socket, handshake, parts);
    this.#takesSnapshots = handshake.snapshots;
  }

  /** Where frames arrive. */
  get intake(): FrameIntake {
    this.#intake ??= new FrameIntake({
      accepts: () => this.connection.open,
      drop: () => this.connection.drop(),
      handle: (text) => this.#handle(text),
      setReading: (reading) => (this.connection.reading = reading),
      maxOperations: this.parts.settings.maxOperationsInFlight,
      rounds: this.parts.rounds,
    });
    return this.#intake;
  }

  override onFull(full: boolean): void {
    this.intake.setFull(full);
  }

  override onBehind(following: Following, events: number): boolean {
    return this.#following.moveOn(following, events);
  }

  /** Resumes the responses that the upgrade named, as frames would. */
  resumeAll(): void {
    for (const point of this.handshake.resume) this.#resume(point);
  }

  /** Called when the socket has closed. Turns continue, unless the upgrade requested a cancel. */
  end(): void {
    if (this.connection.ended) return;
    this.#intake?.close();
    this.connection.end();
    if (this.handshake.cancelOnDisconnect && !this.connection.sentAway) this.cancelCreated();
    this.#watched?.close();
    this.#cancels?.close();
    this.#unstored?.close();
  }

  #handle(text: string): void {
    const startedMs = text.length < MEASURED_CHARACTERS ? undefined : this.parts.cpuMs();
    let event: ClientEvent;
    try {
      event = parseClientEvent(text);
    } catch (thrown) {
      const cpuMs = startedMs === undefined ? 0 : this.parts.cpuMs() - startedMs;
      const { error, streamId, creates } = refusalOf(thrown);
      const { principal } = this.connection;
      const { clientRequestId } = this.handshake;
      if (creates) this.refusals.refuseCreate(error, { caller: principal, streamId, clientRequestId }, cpuMs);
      else this.refusals.refuse(error, streamId, cpuMs);
      return;
    }
    try {
      this.#dispatch(event);
    } catch (thrown) {
      this.#refuse(event, thrown, 'streamId' in event ? event.streamId : undefined);
    }
  }

  #dispatch(event: ClientEvent): void {
    const { connection } = this;
    if (event.type.startsWith('sluice:')) this.#takesSnapshots = connection.extended = true;
    if (event.type !== 'response.create') this.#check(event.type);
    switch (event.type) {
      case 'response.create':
        this.#create(event);
        return;
      case 'response.cancel':
        this.#cancel(event);
        return;
      case 'response.steer':
        connection.outbound.send(encodeSteerFailed(event.previousResponseId, event.input, event.streamId));
        return;
      case 'sluice:resume':
        this.#resume(event);
        return;
      case 'sluice:subscribe': {
        const { conversation, streamId } = event;
        const caller = this.#counted();
        this.intake.during(this.#answered(event, this.#watching.subscribe(caller, conversation, streamId), streamId));
        return;
      }
      case 'sluice:unsubscribe':
        this.intake.during(this.#answered(event, this.#watching.unsubscribe(event.conversation)));
        return;
      case 'sluice:auth':
        this.#counted();
        // Later frames act for the new principal, or for the old one if the token is refused. They
        // wait for the outcome, because otherwise they could act for the wrong principal.
        this.intake.alone(this.#answered(event, this.#authenticate(event.token)));
        return;
      case 'sluice:ping':
        connection.sendEvent({ type: 'sluice:pong', id: event.id });
        return;
    }
  }

  #create(event: Event<'response.create'>): void {
    const { request, streamId, idempotencyKey } = event;
    const { traceparent = this.handshake.traceparent, clientRequestId = this.handshake.clientRequestId } = event;
    const caller = this.connection.principal;
    try {
      this.#check('response.create');
      this.parts.rounds.countTurn();
      const lane = this.lanes.open(streamId);
      this.lanes.admit();
      const frame = this.#following.nextFrame();
      lane.push(
        new CreateTask(
          { caller, request, streamId, idempotencyKey, traceparent, clientRequestId, frame },
          {
            turns: this.parts.turns,
            unstored: (this.#unstored ??= new UnstoredResponses(this.parts.unstored)),
            refusals: this.refusals,
            audit: this.audit,
            time: this.parts.time,
            closed: () => this.connection.ended,
            created: (responseId) => remember((this.#created ??= new Set()), responseId),
            followed: this.#following,
            ended: () => this.lanes.release(),
          },
        ),
      );
    } catch (thrown) {
      this.refusals.refuseCreate(asSluiceError(thrown), { caller, streamId, clientRequestId });
    }
  }

  #cancel(event: Event<'response.cancel'>): void {
    const { responseId, streamId } = event;
    const caller = this.#counted();
    if (responseId === undefined) {
      if (!this.lanes.cancel(caller, streamId)) this.audit.outcome(event, null);
      return;
    }
    this.#cancels ??= new Cancels({
      ...this.parts,
      outbound: this.connection.outbound,
      sendEvent: (event) => this.connection.sendEvent(event),
      onRefused: (thrown) => this.refusals.refuse(asSluiceError(thrown), undefined),
    });
    this.intake.during(this.#answered(event, this.#cancels.cancel(caller, responseId)));
  }

  #resume(point: ResumePoint): void {
    const event = { ...point, type: 'sluice:resume' } as const;
    try {
      this.intake.during(this.#answered(event, this.#following.resume(this.#counted(), point)));
    } catch (thrown) {
      this.#refuse(event, thrown, point.streamId);
    }
  }

  async #authenticate(token: string): Promise<void> {
    const { connection } = this;
    const shown = await this.parts.authenticator.authenticate(token, 'read');
    connection.principal = renewed(connection.principal, shown);
    connection.sendEvent({ type: 'sluice:authenticated' });
  }

  /** @throws SluiceError `insufficient_scope`, `invalid_api_key` */
  #check(type: ClientEvent['type']): void {
    checkEvent(this.connection.principal, type, this.parts.time.date());
  }

  /**
   * Counts an operation that is not a turn.
   * @returns the caller @throws SluiceError `rate_limit_exceeded`
   */
  #counted(): Principal {
    const { principal } = this.connection;
    this.parts.operations.take(principal);
    return principal;
  }

  /** Audits an event. `work` resolves to a refusal that was sent; its errors are sent here. */
  #answered(event: ClientEvent, work: Promise<SluiceError | null | void>, streamId?: string): Promise<void> {
    return work.then(
      (refusal) => this.audit.outcome(event, refusal ?? null),
      (thrown: unknown) => this.#refuse(event, thrown, streamId),
    );
  }

  #refuse(event: ClientEvent, thrown: unknown, streamId: string | undefined): void {
    const error = asSluiceError(thrown);
    this.audit.outcome(event, error);
    this.refusals.refuse(error, streamId);
  }

  get #following(): FollowedResponses {
    this.#followed ??= new FollowedResponses({
      ...this.parts,
      ...this.#shared(),
      caller: () => this.connection.principal,
      takesSnapshots: () => this.#takesSnapshots,
    });
    return this.#followed;
  }

  get #watching(): WatchedConversations {
    this.#watched ??= new WatchedConversations({
      ...this.parts,
      ...this.#shared(),
      followed: this.#following,
      maxWatched: this.parts.settings.maxLanes,
      created: (responseId) => this.#created?.has(responseId) ?? false,
    });
    return this.#watched;
  }

  #shared(): Pick<
    ConstructorParameters<typeof FollowedResponses>[0],
    'outbound' | 'lanes' | 'refusals' | 'sendEvent' | 'closed'
  > {
    const { connection } = this;
    return {
      outbound: connection.outbound,
      lanes: this.lanes,
      refusals: this.refusals,
      sendEvent: (event) => connection.sendEvent(event),
      closed: () => connection.ended,
    };
  }
}

function refusalOf(thrown: unknown): Pick<ProtocolRefusal, 'error' | 'streamId' | 'creates'> {
  if (thrown instanceof ProtocolRefusal) return thrown;
  return { error: asSluiceError(thrown), streamId: undefined, creates: false };
}
