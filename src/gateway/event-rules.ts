/*
 * The scope that each client event needs, and what the audit log records of it. The code does not
 * compile if an event has no rule.
 */

import { requireScope } from '../auth/authenticator.js';
import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';
import { type AuditRule } from '../observability/audit.js';
import { type ClientEvent } from '../protocol/socket/client-events.js';

export const EVENT_RULES: Readonly<Record<ClientEvent['type'], Scope>> = {
  'response.create': 'chat',
  'response.cancel': 'chat',
  'response.steer': 'chat',
  'sluice:resume': 'read',
  'sluice:subscribe': 'read',
  'sluice:unsubscribe': 'read',
  'sluice:auth': 'read',
  'sluice:ping': 'read',
};

/** What the audit log records. Null: nothing, because the event reads and changes nothing. */
export const EVENT_AUDIT: Readonly<Record<ClientEvent['type'], AuditRule | null>> = {
  'response.create': { event: 'created', kind: 'response' },
  'response.cancel': { event: 'cancelled', kind: 'response' },
  // Steering is not served, so it changes nothing.
  'response.steer': null,
  'sluice:resume': { event: 'read', kind: 'response' },
  'sluice:subscribe': { event: 'read', kind: 'conversation' },
  'sluice:unsubscribe': null,
  'sluice:auth': { event: 'authenticated', kind: 'connection' },
  'sluice:ping': null,
};

/** Events that a credential may send after its expiry: the connection waits for a new one. */
const ALWAYS: ReadonlySet<ClientEvent['type']> = new Set(['sluice:auth', 'sluice:ping', 'sluice:unsubscribe']);

/**
 * Checks that a credential may send an event now.
 * @param date Unix milliseconds
 * @throws SluiceError `insufficient_scope`, `invalid_api_key`
 */
export function checkEvent(caller: Principal, type: ClientEvent['type'], date: number): void {
  requireScope(caller, EVENT_RULES[type]);
  if (caller.expiresAtMs === null || date < caller.expiresAtMs || ALWAYS.has(type)) return;
  throw new SluiceError(
    'invalid_api_key',
    'unable to serve this message; the credential has expired; send a new one with sluice:auth',
  );
}
