/*
 * Writes the audit lines of one connection: one for its opening, and one for each client event that
 * has a rule.
 */

import { asSluiceError, type SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { type Audit, type AuditRule, type AuditSubject } from '../observability/audit.js';
import { type ClientEvent } from '../protocol/socket/client-events.js';
import { EVENT_AUDIT } from './event-rules.js';

export const UPGRADE_AUDIT: AuditRule = { event: 'authenticated', kind: 'connection' };

export interface EventAuditOptions {
  readonly audit: Audit;
  readonly connectionId: string;
  /** Address of the client, as far as the proxies in front are trusted. */
  readonly address: string | null;
  /** The principal that the connection acts for now. */
  readonly caller: () => Principal;
}

type EventType = ClientEvent['type'];

export class EventAudit {
  readonly #options: EventAuditOptions;

  constructor(options: EventAuditOptions) {
    this.#options = options;
  }

  /** Records the opening of the connection. */
  opened(): void {
    this.#write(UPGRADE_AUDIT, 'upgrade', {}, 'ok', this.#options.caller());
  }

  /** Records that an event has taken effect. @param caller default: that of the connection */
  done(type: EventType, about: AuditSubject, caller = this.#options.caller()): void {
    this.#write(EVENT_AUDIT[type], type, about, 'ok', caller);
  }

  /** Records the turn that an event created, or joined by its idempotency key. */
  turn(caller: Principal, about: AuditSubject, joined: boolean): void {
    const type = 'response.create';
    const rule = EVENT_AUDIT[type];
    this.#write(rule === null || !joined ? rule : { ...rule, event: 'read' }, type, about, 'ok', caller);
  }

  /** Records a cancel when it has settled. Settles like `work`. */
  async cancelled<T>(caller: Principal, id: string, work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.done('response.cancel', { id }, caller);
      return result;
    } catch (thrown) {
      this.refused('response.cancel', { id }, asSluiceError(thrown), caller);
      throw thrown;
    }
  }

  /** Records that an event was refused. */
  refused(type: EventType, about: AuditSubject, error: SluiceError, caller = this.#options.caller()): void {
    this.#write(EVENT_AUDIT[type], type, about, error, caller);
  }

  /** Records the outcome of an event. @param refusal null: the event has taken effect */
  outcome(event: ClientEvent, refusal: SluiceError | null): void {
    if (refusal === null) this.done(event.type, subjectOf(event));
    else this.refused(event.type, subjectOf(event), refusal);
  }

  #write(
    rule: AuditRule | null,
    operation: string,
    about: AuditSubject,
    outcome: 'ok' | SluiceError,
    caller: Principal,
  ): void {
    if (rule === null) return;
    const { audit, address, connectionId } = this.#options;
    const named = rule.kind === 'connection' ? { id: connectionId } : about;
    audit.write({ rule, operation, about: named, caller, address, connectionId, outcome });
  }
}

/** Returns the objects that an event names. */
function subjectOf(event: ClientEvent): AuditSubject {
  switch (event.type) {
    case 'response.cancel':
    case 'sluice:resume':
      return { id: event.responseId };
    case 'sluice:subscribe':
      return { id: event.conversation };
    case 'response.create':
      return { conversation: event.request.conversation };
    case 'response.steer':
    case 'sluice:unsubscribe':
    case 'sluice:auth':
    case 'sluice:ping':
      return {};
  }
}
