/*
 * Which credentials may use each route under /v1. The gateway does not start if a route has no
 * rule. The authorization tests are generated from these rules.
 */

import { hasScope } from '../auth/authenticator.js';
import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';

export interface RouteRule {
  readonly scope: Scope;
  /** Whether only a server key may use the route, not the credential of a user. */
  readonly keysOnly?: boolean;
  /** Whether a credential that is bound to a conversation may not use the route. */
  readonly unbound?: boolean;
}

const READ: RouteRule = { scope: 'read' };
const CHAT: RouteRule = { scope: 'chat' };
const ADMIN: RouteRule = { scope: 'admin', keysOnly: true };
const BACKEND: RouteRule = { scope: 'chat', keysOnly: true };

export const ROUTE_RULES: Readonly<Record<string, RouteRule>> = {
  'POST /v1/responses': CHAT,
  'POST /v1/responses/compact': { scope: 'chat', unbound: true },
  'POST /v1/responses/input_tokens': CHAT,
  'GET /v1/responses/:id': READ,
  'POST /v1/responses/:id/cancel': CHAT,
  'DELETE /v1/responses/:id': CHAT,
  'GET /v1/responses/:id/input_items': READ,
  'POST /v1/chat/completions': { scope: 'chat', unbound: true },
  'GET /v1/conversations': READ,
  'POST /v1/conversations': { scope: 'chat', unbound: true },
  'GET /v1/conversations/:id': READ,
  'POST /v1/conversations/:id': CHAT,
  'DELETE /v1/conversations/:id': CHAT,
  'GET /v1/conversations/:id/items': READ,
  'POST /v1/conversations/:id/items': CHAT,
  'GET /v1/conversations/:id/items/:item': READ,
  'DELETE /v1/conversations/:id/items/:item': CHAT,
  'GET /v1/models': READ,
  'GET /v1/models/:id': READ,
  'GET /v1/prompts': READ,
  'POST /v1/client_secrets': BACKEND,
  'DELETE /v1/client_secrets/:id': BACKEND,
  'POST /v1/users/:user/revoke': BACKEND,
  'DELETE /v1/users/:user': ADMIN,
  'GET /v1/users/:user/export': ADMIN,
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
