/* Parses requests for conversations and their items. */

import { z } from 'zod';

import { SluiceError } from '../../domain/errors.js';
import { type Item } from '../../domain/item.js';
import { itemsOf } from './input-items.js';
import { refusalOf } from '../refusal.js';
import { closed, closedWithNulls, isObject, METADATA } from '../schema-tools.js';

/** OpenAI's bound of items in one request. */
const MOST_ITEMS_AT_ONCE = 20;

const CREATE_FIELDS = { items: itemsOf(MOST_ITEMS_AT_ONCE).optional(), metadata: METADATA.optional() };
export const CONVERSATION_CREATE = closed(CREATE_FIELDS);
/** Null has a meaning here: it removes all metadata. */
export const CONVERSATION_UPDATE = closedWithNulls({ metadata: z.preprocess((value) => value ?? {}, METADATA) });
const ADD_FIELDS = { items: itemsOf(MOST_ITEMS_AT_ONCE, 1) };
export const ITEMS_CREATE = closed(ADD_FIELDS);

export interface ConversationCreate {
  readonly items: readonly Item[];
  readonly metadata: Record<string, string>;
}

/**
 * Parses a new conversation; a request without a body creates an empty one.
 * @throws SluiceError (400) with the invalid field as `param`
 */
export function parseConversationCreate(body: unknown): ConversationCreate {
  const what = 'create a conversation';
  const fields = objectIn(body ?? {}, what);
  const parsed = CONVERSATION_CREATE.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, what, Object.keys(CREATE_FIELDS));
  return { items: parsed.data.items ?? [], metadata: parsed.data.metadata ?? {} };
}

/**
 * Parses the new metadata, which replaces the old.
 * @throws SluiceError (400) with the invalid field as `param`
 */
export function parseConversationUpdate(body: unknown): Record<string, string> {
  const what = 'update a conversation';
  const fields = objectIn(body, what);
  if (!Object.hasOwn(fields, 'metadata')) {
    throw new SluiceError('missing_required_parameter', `unable to ${what}; metadata is missing`, {
      param: 'metadata',
    });
  }
  const parsed = CONVERSATION_UPDATE.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, what, ['metadata']);
  return parsed.data.metadata;
}

/**
 * Parses the items to add to a conversation.
 * @throws SluiceError (400) with the invalid field as `param`
 */
export function parseItemsCreate(body: unknown): readonly Item[] {
  const what = 'add items to a conversation';
  const fields = objectIn(body, what);
  const parsed = ITEMS_CREATE.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, what, Object.keys(ADD_FIELDS));
  return parsed.data.items;
}

function objectIn(body: unknown, what: string): Readonly<Record<string, unknown>> {
  if (isObject(body)) return body;
  throw new SluiceError('invalid_request', `unable to ${what}; the request must be a JSON object`);
}
