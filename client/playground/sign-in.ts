/*
 * Signing in: the key or client secret that a person pastes, its form, and its renewal. The
 * credential stays in the memory of this tab. Knows no conversation.
 */

import { type Frame, type SluiceErrorShape, type StateChange } from '../src/api.js';
import { element } from './dom.js';
import { type Memory } from './memory.js';
import { isRevoked } from './words.js';

export interface SignInOwner {
  /** Called when another credential was given and the connection must be opened again. */
  signedIn(): void;
  /** Called when the credential was forgotten. */
  signedOut(): void;
  announce(words: string): void;
}

export class SignIn {
  readonly #memory: Memory;
  readonly #owner: SignInOwner;
  readonly #button = element<HTMLButtonElement>('sign-in');
  readonly #form = element<HTMLFormElement>('token-form');
  readonly #reason = element('token-reason');
  readonly #field = element<HTMLInputElement>('token');
  readonly #signOut = element<HTMLButtonElement>('sign-out');
  /** Whether the next call of `token` asks for a renewal. */
  #expiring = false;
  /** Passes a pasted credential to the open connection. */
  #renew: ((token: string) => void) | null = null;

  constructor(memory: Memory, owner: SignInOwner) {
    this.#memory = memory;
    this.#owner = owner;
    this.#button.addEventListener('click', () => {
      if (this.#form.hidden) this.#ask('Paste a server key, or a client secret that your backend has made.');
      else this.#hide();
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#use(this.#field.value.trim());
    });
    this.#signOut.addEventListener('click', () => {
      this.#hide();
      this.#memory.forget();
      this.#draw();
      this.#owner.signedOut();
    });
    this.#draw();
  }

  /**
   * Returns the credential, for the client. When the gateway has announced the end of the present
   * one, returns the next one that a person pastes, and the client renews its open connection.
   */
  readonly token = async (): Promise<string> => {
    // The client calls this for a renewal just before it reports the frame. `onFrame` runs in the
    // same task, so after this line the frame has been seen.
    await Promise.resolve();
    if (!this.#expiring) return this.#memory.token;
    this.#expiring = false;
    return new Promise((resolve) => (this.#renew = resolve));
  };

  onFrame({ direction, data }: Frame): void {
    if (direction !== 'in') return;
    if (data.type === 'sluice:auth_expiring') {
      this.#expiring = true;
      const seconds = Math.round(Number(data['expires_in_ms'] ?? 0) / 1_000);
      this.#ask(`This credential expires in ${seconds} s. Paste a new one to stay connected.`);
    } else if (data.type === 'sluice:authenticated') {
      this.#owner.announce('The new credential was accepted.');
    }
  }

  onError({ code, message }: SluiceErrorShape): void {
    if (code === 'invalid_api_key') this.#ask(`Not accepted: ${message}`);
  }

  onState({ state, error }: StateChange): void {
    if (state === 'open') return;
    // A renewal belongs to the connection that has asked for it.
    this.#expiring = false;
    this.#renew = null;
    if (state !== 'closed' || error === null) return;
    if (isRevoked(error)) this.#ask('This credential was revoked. Paste another one.');
    else if (error.status === 401 && this.#memory.token === '')
      this.#ask('This server requires a key or a client secret.');
    else if (REFUSED.has(error.code) || error.status === 401) this.#ask(`Not accepted: ${error.message}`);
  }

  #use(token: string): void {
    this.#field.value = '';
    this.#hide();
    this.#memory.token = token;
    this.#draw();
    const renew = this.#renew;
    this.#renew = null;
    if (renew === null) this.#owner.signedIn();
    else renew(token);
  }

  #ask(reason: string): void {
    this.#reason.textContent = reason;
    this.#form.hidden = false;
    this.#button.ariaExpanded = 'true';
    this.#field.focus();
  }

  #hide(): void {
    this.#form.hidden = true;
    this.#button.ariaExpanded = 'false';
  }

  #draw(): void {
    const signedIn = this.#memory.token !== '';
    this.#signOut.hidden = !signedIn;
    this.#button.textContent = signedIn ? 'Signed in' : 'Sign in';
  }
}

/** Codes of the client and the gateway that another credential can remedy. */
const REFUSED: ReadonlySet<string> = new Set(['insufficient_scope', 'connection_impossible']);
