/*
 * The open sockets of this replica. Pings them, announces the expiry of their credentials, and
 * closes those that are too old, expired or revoked, and all of them in a drain. One timer serves
 * all sockets.
 */

import { type Principal } from '../domain/principal.js';
import { every, sleep, systemTime, type Time } from '../domain/time.js';
import { type Metrics } from '../observability/metrics.js';
import { CLOSE_CODES, type CloseCode } from '../protocol/socket/close-codes.js';
import { ownerDigest } from '../state/credential-store.js';
import { type ClientConnection } from './connection.js';
import { type SocketSettings } from './settings.js';

/** The state of one connection in the table. */
interface Entry {
  /** By the monotonic clock, in milliseconds. */
  readonly openedAt: number;
  /** When the connection is too old, by the monotonic clock. Infinity: there is no maximum. */
  readonly closesAt: number;
  nextPingAt: number;
  /** When the unanswered ping was sent, by the monotonic clock; null if every ping was answered. */
  pingedAt: number | null;
  /**
   * The principal whose expiry was announced. A renewed credential has another principal, whose
   * expiry is announced again.
   */
  announcedExpiryOf: Principal | undefined;
  /** Does not change: a renewed credential has the same owner. */
  readonly ownerDigest: string;
}

const CHECK_EVERY_MS = 1_000;
/** The expiry of a credential is announced at most this long before, in milliseconds. */
const ANNOUNCE_EXPIRY_MS = 60_000;
/** How long a socket whose credential has expired waits for a new one, in milliseconds. */
const EXPIRED_GRACE_MS = 10_000;
/** Most batches in which the sockets of a replica are closed. */
const BATCHES = 20;
/**
 * How long a socket that closes may take to send its pending events, in milliseconds. Clients
 * resume the events that they have not received by then.
 */
const LEAVE_WITHIN_MS = 500;
/**
 * How long a close may take until the socket is destroyed, in milliseconds. Less than the drain
 * waits for the sockets, so that a silent peer does not make the drain late.
 */
const CUT_AFTER_MS = 900;
const GONE_CHECK_MS = 10;
const DELIVERED_CHECK_MS = 20;

/** Digests of owners: connections of one credential share one text. */
const digests = new WeakMap<Principal, string>();

function digestOf(principal: Principal): string {
  let digest = digests.get(principal);
  if (digest === undefined) digests.set(principal, (digest = ownerDigest(principal.owner)));
  return digest;
}

export class ConnectionTable {
  readonly #settings: SocketSettings;
  readonly #metrics: Metrics;
  readonly #time: Time;
  readonly #open = new Map<ClientConnection, Entry>();
  #stopChecks: (() => void) | undefined;
  /** Set when all sockets are to close, including those that are being opened. */
  #leaving: { readonly code: CloseCode; readonly reason: string } | undefined;

  constructor(settings: SocketSettings, metrics: Metrics, time: Time = systemTime) {
    this.#settings = settings;
    this.#metrics = metrics;
    this.#time = time;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Whether this replica has as many sockets as it may. */
  get full(): boolean {
    const { maxConnections } = this.#settings;
    return maxConnections !== null && this.#open.size >= maxConnections;
  }

  add(connection: ClientConnection): void {
    const now = this.#time.now();
    this.#open.set(connection, {
      openedAt: now,
      closesAt: now + this.#jittered(this.#settings.maxConnectionAgeMs ?? Infinity),
      nextPingAt: this.#nextPing(now),
      pingedAt: null,
      announcedExpiryOf: undefined,
      ownerDigest: digestOf(connection.principal),
    });
    this.#metrics.of.connections.set(this.#open.size);
    this.#stopChecks ??= every(this.#time, CHECK_EVERY_MS, () => this.check());
    // An upgrade that was accepted before `closeAll` may be added after it. Nothing else would
    // close this socket, so it is closed here.
    if (this.#leaving !== undefined) void connection.leave(this.#leaving.code, this.#leaving.reason, LEAVE_WITHIN_MS);
  }

  /**
   * @returns how long the connection was open, in milliseconds, or undefined if it is not in the
   * table
   */
  remove(connection: ClientConnection, code: number): number | undefined {
    const entry = this.#open.get(connection);
    if (entry === undefined) return undefined;
    this.#open.delete(connection);
    this.#metrics.of.connections.set(this.#open.size);
    this.#metrics.of.websocket_closes_total.inc({ code });
    return this.#time.now() - entry.openedAt;
  }

  /** Records that the peer answered a ping. */
  ponged(connection: ClientConnection): void {
    const entry = this.#open.get(connection);
    if (entry !== undefined) entry.pingedAt = null;
  }

  /**
   * Notifies every client that opted in that this replica shuts down, with the time after which to
   * reconnect.
   */
  announceDraining(reconnectAfterMs: number): void {
    for (const connection of this.#open.keys())
      connection.notify({ type: 'sluice:draining', reconnect_after_ms: reconnectAfterMs });
  }

  /** Resolves when every socket has handed its pending data to the network or is closed. */
  async whenDelivered(): Promise<void> {
    while ([...this.#open.keys()].some(({ pending }) => pending)) await sleep(this.#time, DELIVERED_CHECK_MS);
  }

  /**
   * Closes all sockets permanently, including those opened later. Resolves when all are closed; a
   * peer that does not answer is cut.
   */
  async closeAll(code: CloseCode, reason: string, overMs: number): Promise<void> {
    this.#leaving = { code, reason };
    await this.#leave([...this.#open.keys()], code, reason, overMs);
    await this.#untilGone(() => this.#open.size === 0);
    this.terminateAll();
    this.#stopChecks?.();
    this.#stopChecks = undefined;
  }

  /** Closes the sockets that are open now; later ones are accepted. Resolves like `closeAll`. */
  async sendAway(code: CloseCode, reason: string, overMs: number): Promise<void> {
    const leaving = [...this.#open.keys()];
    await this.#leave(leaving, code, reason, overMs);
    await this.#untilGone(() => !leaving.some((connection) => this.#open.has(connection)));
    for (const connection of leaving) if (this.#open.has(connection)) connection.terminate();
  }

  /**
   * Closes the sockets whose credential was revoked.
   * @param secrets ids of revoked client secrets
   * @param owners digests of owners whose credentials were revoked
   * @param isValid whether a credential of such an owner was made after that
   */
  async closeRevoked(
    secrets: ReadonlySet<string>,
    owners: ReadonlySet<string>,
    isValid: (principal: Principal) => Promise<boolean>,
  ): Promise<void> {
    const checks = [...this.#open].map(async ([connection, entry]) => {
      const { principal } = connection;
      if (!secrets.has(principal.credential)) {
        if (!owners.has(entry.ownerDigest) || (await isValid(principal))) return;
        // The client may renew its credential during this check. A close would then end a
        // connection whose credential is valid, so only the principal that was checked is closed.
        if (connection.principal !== principal) return;
      }
      connection.close(CLOSE_CODES.policy, 'credential revoked');
    });
    await Promise.all(checks);
  }

  /** Destroys every socket without a close frame. */
  terminateAll(): void {
    for (const connection of this.#open.keys()) connection.terminate();
  }

  /** Checks every connection once. Called by the table's own timer. */
  check(): void {
    const now = this.#time.now();
    for (const [connection, entry] of this.#open) {
      if (entry.pingedAt !== null) this.#checkPong(connection, entry, now);
      else if (now >= entry.nextPingAt) {
        entry.pingedAt = now;
        entry.nextPingAt = this.#nextPing(now);
        connection.ping();
      }
      this.#checkAge(connection, entry, now);
    }
  }

  /**
   * Pings queue behind unread data, so a slow reader is left to the outbound's timeout. A pong is
   * not seen while the gateway itself does not read from the socket.
   */
  #checkPong(connection: ClientConnection, entry: Entry, now: number): void {
    if (!connection.reading || connection.outbound.progressed()) entry.pingedAt = now;
    else if (now - (entry.pingedAt ?? now) >= this.#settings.heartbeatTimeoutMs) connection.terminate();
  }

  #checkAge(connection: ClientConnection, entry: Entry, now: number): void {
    if (now >= entry.closesAt) {
      connection.close(CLOSE_CODES.serviceRestart, 'connection too old; connect again');
      return;
    }
    const { principal } = connection;
    if (principal.expiresAtMs === null) return;
    const leftMs = principal.expiresAtMs - this.#time.date();
    if (leftMs <= -EXPIRED_GRACE_MS)
      connection.close(CLOSE_CODES.serviceRestart, 'credential expired; connect again with a new one');
    else if (
      connection.extended &&
      leftMs > 0 &&
      entry.announcedExpiryOf !== principal &&
      leftMs <= Math.min(ANNOUNCE_EXPIRY_MS, (now - entry.openedAt + leftMs) / 2)
    ) {
      entry.announcedExpiryOf = principal;
      connection.notify({ type: 'sluice:auth_expiring', expires_in_ms: leftMs });
    }
  }

  #nextPing(now: number): number {
    return now + this.#jittered(this.#settings.heartbeatIntervalMs);
  }

  /**
   * Returns a time ±10 %, so that connections opened together are neither pinged nor closed
   * together.
   */
  #jittered(ms: number): number {
    return ms * (0.9 + this.#time.random() * 0.2);
  }

  /**
   * Closes the sockets in small batches spread over `overMs`, so that not all clients reconnect at
   * once.
   */
  async #leave(
    connections: readonly ClientConnection[],
    code: CloseCode,
    reason: string,
    overMs: number,
  ): Promise<void> {
    const batches = Math.max(1, Math.min(BATCHES, connections.length));
    const size = Math.ceil(connections.length / batches);
    for (let i = 0; i < connections.length; i += size) {
      for (const connection of connections.slice(i, i + size)) void connection.leave(code, reason, LEAVE_WITHIN_MS);
      if (i + size < connections.length) await sleep(this.#time, overMs / batches);
    }
  }

  /** Resolves when `gone` holds, or after `CUT_AFTER_MS`. */
  async #untilGone(gone: () => boolean): Promise<void> {
    const until = this.#time.now() + CUT_AFTER_MS;
    while (!gone() && this.#time.now() < until) await sleep(this.#time, GONE_CHECK_MS);
  }
}
