/* The name that limits count a caller by: a user, or a server key that acts for no user. */

import { type Principal } from '../domain/principal.js';

export function callerKey({ user, owner, tenant, credential }: Principal): string {
  return user === null ? `key:${tenant}/${credential}` : `user:${owner}`;
}
