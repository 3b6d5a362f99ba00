/*
 * Writes the audit line of a request. The line begins with the head of the request and is written
 * when the operation has taken effect, at the latest when the answer ends.
 */

import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import {
  type Audit,
  type AuditEntry,
  type AuditKind,
  type AuditRule,
  type AuditSubject,
} from '../observability/audit.js';
import { callerOf } from './caller.js';

/** Not fields of the request, so no client input can look like one. */
const audits = new WeakMap<FastifyRequest, RequestAudit>();

/** Begins the audit of a request that has a rule. */
export function auditRequest(request: FastifyRequest, reply: FastifyReply, audit: Audit, rule: AuditRule): void {
  const line = new RequestAudit(request, audit, rule);
  audits.set(request, line);
  reply.raw.once('close', () => line.write(reply.raw.writableFinished ? 'ok' : 'unanswered'));
}

/** @returns the audit of a request, or undefined if there is none */
export function auditOf(request: FastifyRequest): RequestAudit | undefined {
  return audits.get(request);
}

/** Takes the ids of created objects from answers, because the path of the request lacks them. */
export function auditAnswers(instance: FastifyInstance): void {
  instance.addHook('preSerialization', (request, reply, payload, done) => {
    if (reply.statusCode < 400) auditOf(request)?.answered(payload);
    done(null, payload);
  });
}

class RequestAudit {
  readonly #request: FastifyRequest;
  readonly #audit: Audit;
  readonly #rule: AuditRule;
  #about: AuditSubject;
  #caller: Principal | undefined;
  #error: SluiceError | undefined;
  #written = false;

  constructor(request: FastifyRequest, audit: Audit, rule: AuditRule) {
    this.#request = request;
    this.#audit = audit;
    this.#rule = rule;
    this.#about = namedBy(request, rule.kind);
  }

  /** Sets the error that refuses the request. */
  refused(error: SluiceError): void {
    this.#error = error;
  }

  answered(payload: unknown): void {
    if (this.#rule.event !== 'created' || typeof payload !== 'object' || payload === null) return;
    const { id, user } = payload as { readonly id?: unknown; readonly user?: unknown };
    if (typeof id === 'string') this.#about = { id, ...this.#about };
    if (typeof user === 'string') this.#about = { user, ...this.#about };
  }

  /**
   * Writes the line of a request that has a turn. The turn continues even if its answer is not
   * read.
   * @param caller the user whose turn it is
   */
  turn(caller: Principal, about: AuditSubject, joined: boolean): void {
    this.#about = about;
    this.#caller = caller;
    // A repeated request with the same idempotency key creates nothing.
    this.#put('ok', joined ? { ...this.#rule, event: 'read' } : this.#rule);
  }

  /** Writes the line, unless it is written. A refusal takes precedence over `outcome`. */
  write(outcome: 'ok' | 'unanswered'): void {
    this.#put(this.#error ?? outcome, this.#rule);
  }

  #put(outcome: AuditEntry['outcome'], rule: AuditRule): void {
    if (this.#written) return;
    this.#written = true;
    const { method, routeOptions, id: requestId, ip: address } = this.#request;
    const caller = this.#caller ?? callerOf(this.#request);
    const operation = `${method} ${routeOptions.url ?? ''}`;
    this.#audit.write({ rule, operation, about: this.#about, caller, address, requestId, outcome });
  }
}

/** Returns the objects that the path of a request names. */
function namedBy({ params }: FastifyRequest, kind: AuditKind): AuditSubject {
  // The router's parameters are texts.
  const { id, item, user } = (params ?? {}) as Readonly<Record<string, string | undefined>>;
  if (kind === 'item') return { id: item, conversation: id };
  return { ...(id === undefined ? {} : { id }), ...(user === undefined ? {} : { user }) };
}
