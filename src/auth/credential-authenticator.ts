/* Passes each credential to the authenticator of its form: users' tokens beside server keys. */

import { type Principal, type Scope } from '../domain/principal.js';
import { Authenticator } from './authenticator.js';

export interface CredentialForm {
  /** Whether a credential has this form. */
  readonly fits: (credential: string) => boolean;
  readonly authenticator: Authenticator;
}

export class CredentialAuthenticator extends Authenticator {
  readonly #forms: readonly CredentialForm[];
  readonly #others: Authenticator;

  /** @param others authenticates credentials of no form, and requests without one */
  constructor(forms: readonly CredentialForm[], others: Authenticator) {
    super();
    this.#forms = forms;
    this.#others = others;
  }

  override authenticate(credential: string | undefined, needed?: Scope): Promise<Principal> {
    const form = credential === undefined ? undefined : this.#forms.find(({ fits }) => fits(credential));
    return (form?.authenticator ?? this.#others).authenticate(credential, needed);
  }
}
