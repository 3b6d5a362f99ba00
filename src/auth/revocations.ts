/*
 * Revoked credentials: refuses tokens that were issued before their user was revoked, and reports
 * new revocations of any replica, so that open sockets are closed. The list is read every second: a
 * lost message cannot keep a socket open.
 */

import { SluiceError } from '../domain/errors.js';
import { type Principal, type Scope } from '../domain/principal.js';
import { systemTime, type Time } from '../domain/time.js';
import { type CredentialStore, type Revocation } from '../state/credential-store.js';
import { Authenticator } from './authenticator.js';

const READ_EVERY_MS = 1_000;

/** Authenticates tokens, and refuses those that were revoked. */
export class UnrevokedAuthenticator extends Authenticator {
  readonly #inner: Authenticator;
  readonly #store: Pick<CredentialStore, 'revokedAt'>;

  constructor(inner: Authenticator, store: Pick<CredentialStore, 'revokedAt'>) {
    super();
    this.#inner = inner;
    this.#store = store;
  }

  override async authenticate(credential: string | undefined, needed?: Scope): Promise<Principal> {
    const principal = await this.#inner.authenticate(credential, needed);
    if (await isRevoked(principal, this.#store)) {
      throw new SluiceError('invalid_api_key', 'unable to authenticate; the token was revoked; get a new one');
    }
    return principal;
  }
}

async function isRevoked(principal: Principal, store: Pick<CredentialStore, 'revokedAt'>): Promise<boolean> {
  if (principal.issuedAtMs === null) return false;
  const at = await store.revokedAt(principal.owner);
  // Tokens name whole seconds. A token of the same second as the revocation counts as issued
  // before.
  return at !== undefined && Math.floor(principal.issuedAtMs / 1_000) <= Math.floor(at / 1_000);
}

interface RevokedBatch {
  /** Ids of client secrets. */
  readonly secrets: ReadonlySet<string>;
  /** Digests of owners. */
  readonly owners: ReadonlySet<string>;
}

export interface RevocationsOptions {
  /**
   * Called with the revocations of each read and of the read before. If it fails, they are read
   * again.
   * @param isValid whether a credential of a revoked owner is still valid
   */
  readonly onRevoked: (batch: RevokedBatch, isValid: (principal: Principal) => Promise<boolean>) => Promise<void>;
  readonly time?: Time;
}

export class Revocations {
  readonly #store: CredentialStore;
  readonly #options: RevocationsOptions;
  readonly #time: Time;
  #cursor: string | null = null;
  /**
   * What the last read found. It is reported once more: a credential may be checked before it is
   * revoked, and its socket be added after the revocation was reported. Then the next report finds
   * the socket.
   */
  #recent: readonly Revocation[] = [];
  #stopped = false;
  #reading: Promise<void> | undefined;
  #cancel: () => void = () => undefined;

  constructor(store: CredentialStore, options: RevocationsOptions) {
    this.#store = store;
    this.#options = options;
    this.#time = options.time ?? systemTime;
  }

  start(): void {
    void this.read().finally(() => this.#arm());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /**
   * Reads what was revoked since the last read. While the store is unavailable, the cursor stays,
   * so no revocation is skipped.
   */
  read(): Promise<void> {
    this.#reading ??= this.#readAll().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /**
   * Whether a credential of a revoked owner is still valid: a server key, or a credential that was
   * made after the revocation.
   */
  readonly isValid = async (principal: Principal): Promise<boolean> => {
    switch (principal.kind) {
      case 'secret':
        return (await this.#store.getSecret(principal.credential)) !== undefined;
      case 'token':
        return !(await isRevoked(principal, this.#store));
      case 'key':
      case 'anonymous':
        return true;
    }
  };

  async #readAll(): Promise<void> {
    let again = this.#recent;
    const found: Revocation[] = [];
    try {
      for (;;) {
        const { revocations, cursor } = await this.#store.revocationsAfter(this.#cursor);
        const reported = [...again, ...revocations];
        if (reported.length > 0) await this.#options.onRevoked(batchOf(reported), this.isValid);
        this.#cursor = cursor;
        again = [];
        found.push(...revocations);
        if (revocations.length === 0 || this.#stopped) return;
      }
    } catch {
      // The store is unavailable. The next read continues at the same cursor.
    } finally {
      this.#recent = [...again, ...found];
    }
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#cancel = this.#time.after(READ_EVERY_MS, () => void this.read().finally(() => this.#arm()));
  }
}

function batchOf(revocations: readonly Revocation[]): RevokedBatch {
  return {
    secrets: new Set(revocations.flatMap((one) => ('secret' in one ? [one.secret] : []))),
    owners: new Set(revocations.flatMap((one) => ('owner' in one ? [one.owner] : []))),
  };
}
