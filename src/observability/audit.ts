/*
 * The audit log's vocabulary: what was done or refused, to what, by whom, from where. Entries hold
 * ids and names, never message text and never a credential.
 */

import { type SluiceError } from '../domain/errors.js';
import { shownAddress } from '../domain/network.js';
import { isUserName, type Principal } from '../domain/principal.js';

/** What an operation does if it is not refused. */
export type AuditEvent =
  'authenticated' | 'created' | 'read' | 'updated' | 'cancelled' | 'deleted' | 'erased' | 'exported' | 'revoked';

export type AuditKind =
  'connection' | 'response' | 'conversation' | 'item' | 'client_secret' | 'user' | 'model' | 'prompt';

/** What one operation is recorded as. */
export interface AuditRule {
  readonly event: AuditEvent;
  readonly kind: AuditKind;
}

/** What an operation was about. */
export interface AuditSubject {
  readonly id?: string | undefined;
  /** The conversation that the object is in. */
  readonly conversation?: string | undefined;
  /** The user that an administrator or a backend acted on. */
  readonly user?: string | undefined;
}

export interface AuditEntry {
  readonly rule: AuditRule;
  /** A route (`POST /v1/responses`), an event of a client (`response.create`), or `upgrade`. */
  readonly operation: string;
  readonly about?: AuditSubject;
  /** The caller, or undefined if it was not authenticated. */
  readonly caller: Principal | undefined;
  /** Address of the client, as far as the proxies in front are trusted. */
  readonly address: string | null;
  readonly requestId?: string | undefined;
  readonly connectionId?: string | undefined;
  /** `unanswered`: the client left before the answer, and the operation may have been done. */
  readonly outcome: 'ok' | 'unanswered' | SluiceError;
}

/** Records operations, one line each. `write` never throws and never waits. */
export interface Audit {
  write(entry: AuditEntry): void;
}

export const NO_AUDIT: Audit = { write: () => undefined };

/**
 * The forms of ids. A client can send any text as an id, also a credential by mistake: other text
 * is not recorded.
 */
const FORMS: Readonly<Record<AuditKind, RegExp | null>> = {
  connection: /^conn_\w{1,64}$/u,
  response: /^resp_\w{1,64}$/u,
  conversation: /^conv_\w{1,64}$/u,
  item: /^(?:msg|fc|fco|rs|cmp)_\w{1,80}$/u,
  client_secret: /^cs_[\w-]{1,64}$/u,
  model: /^[\w./:@-]{1,128}$/u,
  user: null,
  prompt: null,
};

type AuditFields = Readonly<Record<string, string | number | null>>;

/** Returns the fields of an entry. */
export function auditFields({ outcome, rule, operation, about = {}, caller, ...from }: AuditEntry): AuditFields {
  const error = typeof outcome === 'string' ? null : outcome;
  const result = error === null ? outcome : error.status >= 500 ? 'failed' : 'refused';
  // Only a model that exists is named: there is no form that a mistake could not have.
  const idKnown = rule.kind !== 'model' || outcome === 'ok';
  return {
    event: error === null ? rule.event : String(result),
    operation,
    kind: rule.kind,
    id: idKnown ? formed(rule.kind, about.id) : null,
    conversation: formed('conversation', about.conversation),
    about_user: caller !== undefined && about.user !== undefined && isUserName(about.user) ? about.user : null,
    outcome: String(result),
    error: error?.code ?? null,
    credential_kind: caller?.kind ?? null,
    credential: caller?.credential ?? null,
    tenant: caller?.tenant ?? null,
    user: caller?.user ?? null,
    address: shownAddress(from.address),
    ...(from.requestId === undefined ? {} : { request_id: from.requestId }),
    ...(from.connectionId === undefined ? {} : { connection_id: from.connectionId }),
  };
}

function formed(kind: AuditKind, id: string | undefined): string | null {
  return id !== undefined && FORMS[kind]?.test(id) === true ? id : null;
}
