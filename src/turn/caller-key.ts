/* The key under which limits count a caller: its user, or its server key if it acts for no user. */

import { type Principal } from '../domain/principal.js';

export function callerKey({ user, owner, tenant, credential }: Principal): string {
  return user === null ? `key:${tenant}/${credential}` : `user:${owner}`;
}
