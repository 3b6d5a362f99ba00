/* Parses requests for client secrets. */

import { z } from 'zod';

import { SluiceError } from '../domain/errors.js';
import { MAX_USER_LENGTH, type Scope } from '../domain/principal.js';
import { type PromptChoice } from '../domain/request.js';
import { refusalOf } from './refusal.js';
import { closed, isObject, present } from './schema-tools.js';
import { ID, PROMPT, promptOf } from './shared-fields.js';

const SHORTEST_SECONDS = 10;
const LONGEST_SECONDS = 86_400;

const FIELDS = {
  user: z.string().min(1).max(MAX_USER_LENGTH),
  conversation: ID.optional(),
  prompt: PROMPT.optional(),
  scopes: z
    .array(z.enum(['chat', 'read']))
    .min(1)
    .max(2)
    .optional(),
  class: z.string().min(1).max(64).optional(),
  expires_in: z.number().int().min(SHORTEST_SECONDS).max(LONGEST_SECONDS).optional(),
};
export const SECRET_CREATE = closed(FIELDS);

export interface ClientSecretCreate {
  readonly user: string;
  readonly conversation?: string;
  readonly prompt?: PromptChoice;
  readonly scopes?: readonly Scope[];
  readonly limitsClass?: string;
  readonly expiresInMs?: number;
}

/**
 * Parses a request for a new client secret.
 * @throws SluiceError (400) with the invalid field as `param`
 */
export function parseClientSecretCreate(body: unknown): ClientSecretCreate {
  const what = 'make a client secret';
  if (!isObject(body)) {
    throw new SluiceError('invalid_request', `unable to ${what}; the request must be a JSON object`);
  }
  const parsed = SECRET_CREATE.safeParse(body);
  if (!parsed.success) throw refusalOf(parsed.error, body, what, Object.keys(FIELDS));
  const { user, conversation, prompt, scopes, class: limitsClass, expires_in: seconds } = parsed.data;
  return {
    user,
    ...present({
      conversation,
      prompt: promptOf(prompt),
      scopes,
      limitsClass,
      expiresInMs: seconds === undefined ? undefined : seconds * 1_000,
    }),
  };
}
