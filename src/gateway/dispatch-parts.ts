/*
 * What all frames of one connection use: audit lines, lanes and refusals. Each is created at its
 * first use, because most connections are idle most of the time and should cost little memory.
 */

import { CLOSE_CODES } from '../protocol/socket/close-codes.js';
import { type Principal } from '../domain/principal.js';
import { NO_AUDIT } from '../observability/audit.js';
import { retryWhileUnavailable } from '../turn/retry-while-unavailable.js';
import { type ClientSocket } from './client-socket.js';
import { ClientConnection, type Handshake, type OutboundEvents } from './connection.js';
import { type ConnectionParts } from './connection-parts.js';
import { EventAudit } from './event-audit.js';
import { type Following } from './following/following.js';
import { Lanes } from './lanes/lanes.js';
import { Refusals } from './refusals.js';

export abstract class DispatchParts implements OutboundEvents {
  readonly connection: ClientConnection;
  readonly handshake: Handshake;
  protected readonly parts: ConnectionParts;
  #audit: EventAudit | undefined;
  #lanes: Lanes | undefined;
  #refusals: Refusals | undefined;

  constructor(socket: ClientSocket, handshake: Handshake, parts: ConnectionParts) {
    this.parts = parts;
    this.handshake = handshake;
    this.connection = new ClientConnection(socket, handshake.principal, parts, this);
    this.connection.extended = handshake.snapshots || handshake.resume.length > 0;
  }

  abstract onFull(full: boolean): void;
  abstract onBehind(following: Following, events: number): boolean;

  /** Records the opening of the connection. */
  opened(): void {
    if (this.parts.audit !== NO_AUDIT) this.#newAudit().opened();
  }

  protected get audit(): EventAudit {
    this.#audit ??= this.#newAudit();
    return this.#audit;
  }

  protected get lanes(): Lanes {
    const { turns, settings, time } = this.parts;
    // The cancel of a lane has no answer of its own, so a client cannot know that it has failed.
    const cancel = (caller: Principal, id: string): Promise<unknown> =>
      retryWhileUnavailable(() => turns.cancel(caller, id), { time });
    this.#lanes ??= new Lanes({
      maxLanes: settings.maxLanes,
      maxResponsesInFlight: settings.maxResponsesInFlight,
      cancel: (caller, id) => this.audit.cancelled(caller, id, cancel(caller, id)),
      onCrowded: () => this.#closeForRefusals(),
    });
    return this.#lanes;
  }

  protected get refusals(): Refusals {
    this.#refusals ??= new Refusals({
      ...this.parts,
      audit: this.audit,
      address: this.handshake.address,
      connectionId: this.connection.id,
      lanes: this.lanes,
      send: (json) => this.connection.outbound.send(json),
      onExhausted: () => this.#closeForRefusals(),
    });
    return this.#refusals;
  }

  /** Cancels what the connection created. */
  protected cancelCreated(): void {
    this.#lanes?.cancelCreated(this.connection.principal);
  }

  #newAudit(): EventAudit {
    return new EventAudit({
      audit: this.parts.audit,
      connectionId: this.connection.id,
      address: this.handshake.address,
      caller: () => this.connection.principal,
    });
  }

  #closeForRefusals(): void {
    this.connection.close(CLOSE_CODES.policy, 'too many refused messages');
  }
}
