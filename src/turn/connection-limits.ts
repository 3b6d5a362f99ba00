/*
 * Bounds the open sockets and SSE streams of each user and each address. A place is taken before
 * the upgrade is accepted or the turn of a stream begins, so connections that are opened at the
 * same time cannot exceed a bound together. Each replica counts its own.
 */

import { SluiceError } from '../domain/errors.js';
import { networkOf } from '../domain/network.js';
import { callerKey, type Principal } from '../domain/principal.js';

export interface ConnectionLimitsOptions {
  /** Null: no limit. */
  readonly perUser: number | null;
  /** Null: no limit. */
  readonly perAddress: number | null;
  /** Called for each refused connection. */
  readonly onRefused?: (limit: ConnectionLimit) => void;
}

/** The limit that a connection exceeds. */
type ConnectionLimit = 'user' | 'address';

/** A connection that is one too many. */
export class ConnectionRefusal extends SluiceError {
  constructor(
    readonly limit: ConnectionLimit,
    /** The user or the server key that has too many; null if an address has. */
    readonly caller: string | null,
  ) {
    const whose = limit === 'user' ? 'this user has' : 'your network has';
    const key = limit === 'user' ? 'limits.connections_per_user' : 'limits.connections_per_address';
    const message = `unable to open a connection; ${whose} as many as \`${key}\` allows; close one or try later`;
    super('rate_limit_exceeded', message, { retryAfterMs: RETRY_AFTER_MS });
  }
}

const RETRY_AFTER_MS = 5_000;

/** The open connections of one user or address. Each connection refers to it, and keeps no key. */
interface Count {
  readonly key: string;
  open: number;
}

export class ConnectionLimits {
  readonly #options: ConnectionLimitsOptions;
  readonly #counts = new Map<string, Count>();

  constructor(options: ConnectionLimitsOptions) {
    this.#options = options;
  }

  /**
   * Takes a place for one socket or stream.
   * @returns a function that releases it; only its first call has an effect
   * @throws ConnectionRefusal
   */
  take(caller: Principal, address: string): () => void {
    const { perUser, perAddress } = this.#options;
    const user = this.#countOf(callerKey(caller));
    const network = this.#countOf(`address:${networkOf(address)}`);
    if (perUser !== null && user.open >= perUser) throw this.#refused('user', user.key);
    if (perAddress !== null && network.open >= perAddress) throw this.#refused('address', null);
    this.#add(user, 1);
    this.#add(network, 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#add(user, -1);
      this.#add(network, -1);
    };
  }

  #refused(limit: ConnectionLimit, caller: string | null): ConnectionRefusal {
    this.#options.onRefused?.(limit);
    return new ConnectionRefusal(limit, caller);
  }

  /** Returns the count of `key`: a new one if it has no connections. */
  #countOf(key: string): Count {
    return this.#counts.get(key) ?? { key, open: 0 };
  }

  #add(count: Count, by: 1 | -1): void {
    count.open += by;
    if (count.open > 0) this.#counts.set(count.key, count);
    else this.#counts.delete(count.key);
  }
}
