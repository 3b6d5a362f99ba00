/*
 * Which credentials may use each route under /v1, and what the audit log records of it. The gateway
 * does not start if a route has no rule. The authorization and audit tests are generated from these
 * rules.
 */

import { hasScope } from '../auth/authenticator.js';
import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';
import { type AuditEvent, type AuditKind, type AuditRule } from '../observability/audit.js';

export interface RouteRule {
  readonly scope: Scope;
  /** Whether only a server key may use the route, not the credential of a user. */
  readonly keysOnly?: boolean;
  /** Whether a credential that is bound to a conversation may not use the route. */
  readonly unbound?: boolean;
  readonly audit: AuditRule;
}

const read = (kind: AuditKind): RouteRule => ({ scope: 'read', audit: { event: 'read', kind } });
const chat = (event: AuditEvent, kind: AuditKind): RouteRule => ({ scope: 'chat', audit: { event, kind } });
const backend = (event: AuditEvent, kind: AuditKind): RouteRule => ({ ...chat(event, kind), keysOnly: true });
const admin = (event: AuditEvent): RouteRule => ({ scope: 'admin', keysOnly: true, audit: { event, kind: 'user' } });

export const ROUTE_RULES: Readonly<Record<string, RouteRule>> = {
  'POST /v1/responses': chat('created', 'response'),
  'POST /v1/responses/compact': { ...chat('created', 'response'), unbound: true },
  'POST /v1/responses/input_tokens': chat('read', 'response'),
  'GET /v1/responses/:id': read('response'),
  'POST /v1/responses/:id/cancel': chat('cancelled', 'response'),
  'DELETE /v1/responses/:id': chat('deleted', 'response'),
  'GET /v1/responses/:id/input_items': read('response'),
  'POST /v1/chat/completions': { ...chat('created', 'response'), unbound: true },
  'GET /v1/conversations': read('conversation'),
  'POST /v1/conversations': { ...chat('created', 'conversation'), unbound: true },
  'GET /v1/conversations/:id': read('conversation'),
  'POST /v1/conversations/:id': chat('updated', 'conversation'),
  'DELETE /v1/conversations/:id': chat('deleted', 'conversation'),
  'GET /v1/conversations/:id/items': read('item'),
  'POST /v1/conversations/:id/items': chat('created', 'item'),
  'GET /v1/conversations/:id/items/:item': read('item'),
  'DELETE /v1/conversations/:id/items/:item': chat('deleted', 'item'),
  'GET /v1/models': read('model'),
  'GET /v1/models/:id': read('model'),
  'GET /v1/prompts': read('prompt'),
  'POST /v1/client_secrets': backend('created', 'client_secret'),
  'DELETE /v1/client_secrets/:id': backend('deleted', 'client_secret'),
  'POST /v1/users/:user/revoke': backend('revoked', 'user'),
  'DELETE /v1/users/:user': admin('erased'),
  'GET /v1/users/:user/export': admin('exported'),
};

/**
 * Returns the rule of a route.
 * @param path as in the router: `/v1/responses/:id`
 * @throws Error if there is none
 */
export function ruleOf(method: string, path: string): RouteRule {
  const name = `${method} ${path}`;
  const rule = Object.hasOwn(ROUTE_RULES, name) ? ROUTE_RULES[name] : undefined;
  if (rule === undefined)
    throw new Error(`unable to serve ${name}; no rule says who may use it; add it to ROUTE_RULES`);
  return rule;
}

/** Checks the rule of a route for a caller. @throws SluiceError `insufficient_scope` */
export function checkRule(caller: Principal, { scope, keysOnly = false, unbound = false }: RouteRule): void {
  if (!hasScope(caller, scope)) {
    throw forbidden(`the credential lacks the scope "${scope}"; use another one`);
  }
  if (keysOnly && (caller.kind === 'token' || caller.kind === 'secret')) {
    throw forbidden('it needs a server key; send the request from your backend');
  }
  if (unbound && caller.binding?.conversation !== undefined) {
    throw forbidden('the credential is bound to one conversation; use that one');
  }
}

function forbidden(why: string): SluiceError {
  return new SluiceError('insufficient_scope', `unable to allow this operation; ${why}`);
}
