/* What a request for a conversation may say. */

import { z } from 'zod';

import { SluiceError } from '../domain/errors.js';
import { type Item } from '../domain/item.js';
import { ITEMS } from './input-items.js';
import { refusalOf } from './refusal.js';
import { closed, isObject, METADATA } from './schema-tools.js';

/** OpenAI's bound. */
const MOST_FIRST_ITEMS = 20;

const FIELDS = {
  items: ITEMS.pipe(z.array(z.custom<Item>()).max(MOST_FIRST_ITEMS)).optional(),
  metadata: METADATA.optional(),
};
const CREATE = closed(FIELDS);

export interface ConversationCreate {
  readonly items: readonly Item[];
  readonly metadata: Record<string, string>;
}

/** No body at all is an empty conversation. @throws SluiceError (400) with the field at fault as `param` */
export function parseConversationCreate(body: unknown): ConversationCreate {
  const fields = body ?? {};
  if (!isObject(fields)) {
    throw new SluiceError('invalid_request', 'unable to create a conversation; the request must be a JSON object');
  }
  const parsed = CREATE.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, 'create a conversation', Object.keys(FIELDS));
  return { items: parsed.data.items ?? [], metadata: parsed.data.metadata ?? {} };
}
