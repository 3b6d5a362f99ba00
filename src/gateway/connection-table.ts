/* All open sockets of this replica, and what is done to all of them: heartbeat, greatest age, ending credentials, and the goodbye of a drain. One timer for all. */

import { CLOSE_CODES, type CloseCode } from '../protocol/close-codes.js';
import { type Principal } from '../domain/principal.js';
import { type Metrics } from '../observability/metrics.js';
import { type Clock, systemClock } from '../state/clock.js';
import { type Connection } from './connection.js';
import { type SocketSettings } from './settings.js';

const LOOK_EVERY_MS = 1_000;
const EXPIRY_TOLD_MS = 60_000;

export class ConnectionTable {
  readonly #settings: SocketSettings;
  readonly #metrics: Metrics;
  readonly #open = new Set<Connection>();
  readonly #perOwner = new Map<string, number>();
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  /** Set when all sockets are to go, those that are just being opened too. */
  #leaving: { readonly code: CloseCode; readonly reason: string } | undefined;

  constructor(settings: SocketSettings, metrics: Metrics, clock: Clock = systemClock) {
    this.#settings = settings;
    this.#metrics = metrics;
    this.#clock = clock;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Why another socket of this caller would be one too many; null: it would not. */
  fullFor(principal: Principal): 'replica' | 'user' | null {
    const { maxConnections, maxConnectionsPerUser } = this.#settings;
    if (maxConnections !== null && this.#open.size >= maxConnections) return 'replica';
    const own = this.#perOwner.get(principal.owner) ?? 0;
    return maxConnectionsPerUser !== null && own >= maxConnectionsPerUser ? 'user' : null;
  }

  add(connection: Connection): void {
    connection.nextPingAtMs = this.#nextPing(this.#clock());
    this.#open.add(connection);
    this.#count(connection.principal.owner, 1);
    this.#metrics.of.connections.set(this.#open.size);
    this.#timer ??= setInterval(() => this.look(), LOOK_EVERY_MS).unref();
    if (this.#leaving !== undefined) void connection.leave(this.#leaving.code, this.#leaving.reason, LEAVE_WITHIN_MS);
  }

  remove(connection: Connection, code: number): void {
    if (!this.#open.delete(connection)) return;
    this.#count(connection.principal.owner, -1);
    this.#metrics.of.connections.set(this.#open.size);
    this.#metrics.of.websocket_closes_total.inc({ code });
  }

  /** Tells every client that this replica leaves, and when to come back. */
  announceDraining(reconnectAfterMs: number): void {
    for (const connection of this.#open)
      connection.tell({ type: 'sluice:draining', reconnect_after_ms: reconnectAfterMs });
  }

  /** Closes all sockets for good: one that comes later is closed, too. Resolves when all are gone (a peer that does not answer is cut). */
  async closeAll(code: CloseCode, reason: string, overMs: number): Promise<void> {
    this.#leaving = { code, reason };
    await leave([...this.#open], code, reason, overMs);
    await untilGone(() => this.#open.size === 0);
    this.terminateAll();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Closes the sockets that are open now; whoever comes back later is welcome. Resolves like `closeAll`. */
  async sendAway(code: CloseCode, reason: string, overMs: number): Promise<void> {
    const leaving = [...this.#open];
    await leave(leaving, code, reason, overMs);
    await untilGone(() => !leaving.some((connection) => this.#open.has(connection)));
    for (const connection of leaving) if (this.#open.has(connection)) connection.terminate();
  }

  /** Cuts every socket without a goodbye. */
  terminateAll(): void {
    for (const connection of this.#open) connection.terminate();
  }

  #count(owner: string, by: 1 | -1): void {
    const now = (this.#perOwner.get(owner) ?? 0) + by;
    if (now > 0) this.#perOwner.set(owner, now);
    else this.#perOwner.delete(owner);
  }

  /** Looks after every connection once. Called by the table's own timer. */
  look(): void {
    const now = this.#clock();
    for (const connection of this.#open) {
      if (connection.pingedAtMs !== null) this.#lookForPong(connection, now);
      else if (now >= connection.nextPingAtMs) {
        connection.pingedAtMs = now;
        connection.nextPingAtMs = this.#nextPing(now);
        connection.ping();
      }
      this.#lookAtAge(connection, now);
    }
  }

  /** A ping stands behind what its peer has not read yet: one that reads slowly is left to its outbound. */
  #lookForPong(connection: Connection, now: number): void {
    if (connection.outbound.progressed()) connection.pingedAtMs = now;
    else if (now - (connection.pingedAtMs ?? now) >= this.#settings.heartbeatTimeoutMs) connection.terminate();
  }

  #lookAtAge(connection: Connection, now: number): void {
    const { maxConnectionAgeMs } = this.#settings;
    if (maxConnectionAgeMs !== null && now - connection.openedAtMs >= maxConnectionAgeMs) {
      connection.close(CLOSE_CODES.serviceRestart, 'connection too old; connect again');
      return;
    }
    const { expiresAtMs } = connection.principal;
    if (expiresAtMs === null) return;
    if (now >= expiresAtMs)
      connection.close(CLOSE_CODES.serviceRestart, 'credential expired; connect again with a new one');
    else if (
      !connection.expiryTold &&
      expiresAtMs - now <= Math.min(EXPIRY_TOLD_MS, (expiresAtMs - connection.openedAtMs) / 2)
    ) {
      connection.expiryTold = true;
      connection.tell({ type: 'sluice:auth_expiring', expires_in_ms: expiresAtMs - now });
    }
  }

  /** ±10 %, so that connections opened together are not pinged together. */
  #nextPing(now: number): number {
    return now + this.#settings.heartbeatIntervalMs * (0.9 + Math.random() * 0.2);
  }
}

const BATCHES = 20;
/** What a reader has not taken by then, it resumes. */
const LEAVE_WITHIN_MS = 500;
/** Less than the drain waits for the sockets: a peer that has gone silent must not make it late. */
const CUT_AFTER_MS = 900;

/** In small batches spread over `overMs`, so that not all reconnect at once. */
async function leave(
  connections: readonly Connection[],
  code: CloseCode,
  reason: string,
  overMs: number,
): Promise<void> {
  const batches = Math.max(1, Math.min(BATCHES, connections.length));
  const size = Math.ceil(connections.length / batches);
  for (let i = 0; i < connections.length; i += size) {
    for (const connection of connections.slice(i, i + size)) void connection.leave(code, reason, LEAVE_WITHIN_MS);
    if (i + size < connections.length) await new Promise((resolve) => setTimeout(resolve, overMs / batches));
  }
}

/** Resolves when `gone`, or when patience ends. */
async function untilGone(gone: () => boolean): Promise<void> {
  const cutAt = Date.now() + CUT_AFTER_MS;
  while (!gone() && Date.now() < cutAt) await new Promise((resolve) => setTimeout(resolve, 10));
}
