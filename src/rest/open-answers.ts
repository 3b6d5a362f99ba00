/*
 * Tracks the incomplete answers of this replica, from the head of a request to the last byte handed
 * to the network. A drain waits for them, and ends the remaining streams when its time is over. A
 * revocation ends those of its credentials. Knows nothing of turns and streams.
 */

import { type ServerResponse } from 'node:http';

import { SluiceError } from '../domain/errors.js';
import { type Principal } from '../domain/principal.js';
import { ownerDigest } from '../state/credential-store.js';

/** Notifies a stream that it must end early. */
export interface Interruption {
  /** Why streams must end now, or undefined if they may continue. */
  readonly reason: SluiceError | undefined;
  /** Calls `work` when streams must end. @returns a function that cancels the call */
  onInterrupt(work: () => void): () => void;
}

/** An answer that is not complete. It ends early with all answers, or alone by a revocation. */
class OpenAnswer implements Interruption {
  /** Undefined if the request was not authenticated, or not yet. */
  caller: Principal | undefined;
  readonly #all: Interruption;
  readonly #listeners = new Set<() => void>();
  #reason: SluiceError | undefined;

  constructor(all: Interruption) {
    this.#all = all;
  }

  get reason(): SluiceError | undefined {
    return this.#reason ?? this.#all.reason;
  }

  onInterrupt(work: () => void): () => void {
    this.#listeners.add(work);
    const forget = this.#all.onInterrupt(work);
    return () => {
      this.#listeners.delete(work);
      forget();
    };
  }

  interrupt(reason: SluiceError): void {
    this.#reason ??= reason;
    for (const work of [...this.#listeners]) work();
  }
}

export class OpenAnswers implements Interruption {
  readonly #open = new Map<ServerResponse, OpenAnswer>();
  readonly #listeners = new Set<() => void>();
  #waiting: (() => void)[] = [];
  #reason: SluiceError | undefined;

  get size(): number {
    return this.#open.size;
  }

  get reason(): SluiceError | undefined {
    return this.#reason;
  }

  /** Counts an answer until it is fully sent or its connection is closed. */
  watch(answer: ServerResponse): void {
    if (answer.destroyed) return;
    this.#open.set(answer, new OpenAnswer(this));
    answer.once('close', () => {
      this.#open.delete(answer);
      if (this.#open.size === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /** Sets the authenticated caller of an open answer. */
  setCaller(answer: ServerResponse, caller: Principal): void {
    const open = this.#open.get(answer);
    if (open !== undefined) open.caller = caller;
  }

  /** Returns the interruption of an answer: by that of all answers, or by a revocation. */
  interruptionOf(answer: ServerResponse): Interruption {
    return this.#open.get(answer) ?? this;
  }

  /**
   * Ends the answers whose credential was revoked. Turns continue.
   * @param secrets ids of revoked client secrets
   * @param owners digests of owners whose credentials were revoked
   * @param isValid whether a credential of such an owner was made after that
   */
  async endRevoked(
    secrets: ReadonlySet<string>,
    owners: ReadonlySet<string>,
    isValid: (principal: Principal) => Promise<boolean>,
  ): Promise<void> {
    const checks = [...this.#open.values()].map(async (open) => {
      const { caller } = open;
      if (caller === undefined) return;
      const revoked =
        secrets.has(caller.credential) || (owners.has(ownerDigest(caller.owner)) && !(await isValid(caller)));
      if (revoked) open.interrupt(credentialRevoked());
    });
    await Promise.all(checks);
  }

  /** Resolves when no answer is open. */
  whenClosed(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  onInterrupt(work: () => void): () => void {
    this.#listeners.add(work);
    return () => void this.#listeners.delete(work);
  }

  /** Ends all open and later streams with `reason`. Only the first call has an effect. */
  interrupt(reason: SluiceError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const work of [...this.#listeners]) work();
  }
}

function credentialRevoked(): SluiceError {
  return new SluiceError(
    'invalid_api_key',
    'unable to continue this answer; the credential was revoked; send the request with a new one',
  );
}
