/*
 * Makes and deletes client secrets: short-lived credentials that a backend gives to the browser of
 * one user. A secret can do no more than the key that made it.
 */

import { SluiceError } from '../../domain/errors.js';
import { actingFor, type Binding, ownerOf, type Principal, type Scope } from '../../domain/principal.js';
import { type PromptChoice } from '../../domain/request.js';
import { systemTime, type Time } from '../../domain/time.js';
import { type ConversationStore } from '../../state/conversation-store.js';
import { type CredentialStore, type StoredSecret } from '../../state/credential-store.js';
import { hasScope } from '../authenticator.js';
import { newSecret } from './secret-value.js';

export interface SecretRequest {
  readonly user: string;
  readonly conversation?: string;
  readonly prompt?: PromptChoice;
  readonly scopes?: readonly Scope[];
  readonly limitsClass?: string;
  /** Lifetime in milliseconds. Absent: the configured one. */
  readonly expiresInMs?: number;
}

/** A new secret, with the value that is shown once. */
export interface MadeSecret {
  readonly value: string;
  readonly stored: StoredSecret;
}

export interface ClientSecretsParts {
  readonly store: CredentialStore;
  readonly conversations: Pick<ConversationStore, 'get'>;
  /**
   * Checks a prompt. Throws if it does not exist, or if its variables do not fit a turn of this
   * user.
   */
  readonly checkPrompt: (user: Principal, prompt: PromptChoice) => void;
  /** Lifetime of a secret whose request names none, in milliseconds. */
  readonly ttlMs: number;
  /** Names of `limits.classes`. */
  readonly classes: ReadonlySet<string>;
  readonly time?: Time;
}

/** The scopes of a secret whose request names none, as far as its key has them. */
const USUAL_SCOPES: readonly Scope[] = ['chat'];

export class ClientSecrets {
  readonly #parts: ClientSecretsParts;
  readonly #time: Time;

  constructor(parts: ClientSecretsParts) {
    this.#parts = parts;
    this.#time = parts.time ?? systemTime;
  }

  /**
   * Makes a secret for a user of the caller's tenant.
   * @param caller a server key
   * @throws SluiceError `insufficient_scope`, `invalid_value`, `conversation_not_found`, and the
   * errors of a prompt
   */
  async make(caller: Principal, request: SecretRequest): Promise<MadeSecret> {
    const { store, ttlMs } = this.#parts;
    // Checks the name, and that a key which acts for a user makes secrets for this user only.
    const user = actingFor(caller, request.user, 'user');
    const scopes = request.scopes ?? USUAL_SCOPES;
    for (const scope of scopes) {
      if (!hasScope(caller, scope)) {
        throw new SluiceError('insufficient_scope', 'unable to make this secret; the key lacks one of its scopes', {
          param: 'scopes',
        });
      }
    }
    const owner = ownerOf(caller.tenant, request.user);
    this.#checkClass(request.limitsClass);
    if (request.conversation !== undefined) await this.#checkConversation(request.conversation, owner, caller.tenant);
    if (request.prompt !== undefined) this.#parts.checkPrompt(user, request.prompt);
    const { id, value, hash } = newSecret();
    const stored: StoredSecret = {
      id,
      hash,
      tenant: caller.tenant,
      user: request.user,
      owner,
      scopes,
      limitsClass: request.limitsClass ?? caller.limitsClass,
      binding: bindingOf(request),
      madeBy: caller.credential,
      expiresAtMs: this.#time.date() + (request.expiresInMs ?? ttlMs),
    };
    await store.putSecret(stored);
    return { value, stored };
  }

  /**
   * Deletes a secret of the caller's tenant. Its sockets are closed.
   * @throws SluiceError `client_secret_not_found`
   */
  async remove(caller: Principal, id: string): Promise<StoredSecret> {
    const stored = await this.#parts.store.getSecret(id);
    const own = stored?.tenant === caller.tenant && (caller.user === null || stored.user === caller.user);
    if (stored === undefined || !own) throw secretNotFound();
    await this.#parts.store.deleteSecret(id);
    return stored;
  }

  /** Revokes all secrets of a user, and the tokens that were issued until now. */
  async revokeUser(caller: Principal, user: string): Promise<void> {
    actingFor(caller, user, 'user');
    await this.#parts.store.revokeOwner(ownerOf(caller.tenant, user));
  }

  #checkClass(limitsClass: string | undefined): void {
    if (limitsClass === undefined || this.#parts.classes.has(limitsClass)) return;
    throw new SluiceError('invalid_value', 'unable to make this secret; no such class in `limits.classes`', {
      param: 'class',
    });
  }

  /**
   * Checks that a conversation belongs to the user: a secret reaches the objects of its user only.
   */
  async #checkConversation(id: string, owner: string, tenant: string): Promise<void> {
    const found = await this.#parts.conversations.get(id);
    if (found?.owner === owner) return;
    if (found?.owner === tenant) {
      throw new SluiceError(
        'invalid_value',
        'unable to bind this conversation; it belongs to no user; create it with the header sluice-user',
        { param: 'conversation' },
      );
    }
    throw new SluiceError(
      'conversation_not_found',
      'unable to find this conversation; it does not exist or has expired; create a conversation',
      { param: 'conversation' },
    );
  }
}

function bindingOf({ conversation, prompt }: SecretRequest): Binding | null {
  if (conversation === undefined && prompt === undefined) return null;
  return {
    ...(conversation === undefined ? {} : { conversation }),
    ...(prompt === undefined ? {} : { prompt }),
  };
}

function secretNotFound(): SluiceError {
  return new SluiceError(
    'client_secret_not_found',
    'unable to find this client secret; it does not exist or has expired',
    { param: 'id' },
  );
}
