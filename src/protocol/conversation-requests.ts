/* What requests for conversations and their items may say. */

import { z } from 'zod';

import { SluiceError } from '../domain/errors.js';
import { type Item } from '../domain/item.js';
import { ITEMS } from './input-items.js';
import { refusalOf } from './refusal.js';
import { closed, isObject, METADATA } from './schema-tools.js';

/** OpenAI's bound of items in one request. */
const MOST_ITEMS_AT_ONCE = 20;

const SOME_ITEMS = ITEMS.pipe(z.array(z.custom<Item>()).max(MOST_ITEMS_AT_ONCE));
const CREATE_FIELDS = { items: SOME_ITEMS.optional(), metadata: METADATA.optional() };
const CREATE = closed(CREATE_FIELDS);
/** Here null says something: no metadata any more. */
const UPDATE = z.strictObject({ metadata: z.preprocess((value) => value ?? {}, METADATA) });
const ADD_FIELDS = {
  items: SOME_ITEMS.refine((items) => items.length > 0, { message: 'must have at least one item' }),
};
const ADD = closed(ADD_FIELDS);

export interface ConversationCreate {
  readonly items: readonly Item[];
  readonly metadata: Record<string, string>;
}

/** No body at all is an empty conversation. @throws SluiceError (400) with the field at fault as `param` */
export function parseConversationCreate(body: unknown): ConversationCreate {
  const what = 'create a conversation';
  const fields = objectIn(body ?? {}, what);
  const parsed = CREATE.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, what, Object.keys(CREATE_FIELDS));
  return { items: parsed.data.items ?? [], metadata: parsed.data.metadata ?? {} };
}

/** The new metadata, which replaces the old. @throws SluiceError (400) with the field at fault as `param` */
export function parseConversationUpdate(body: unknown): Record<string, string> {
  const what = 'update a conversation';
  const fields = objectIn(body, what);
  if (!Object.hasOwn(fields, 'metadata')) {
    throw new SluiceError('missing_required_parameter', `unable to ${what}; metadata is missing`, {
      param: 'metadata',
    });
  }
  const parsed = UPDATE.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, what, ['metadata']);
  return parsed.data.metadata;
}

/** @throws SluiceError (400) with the field at fault as `param` */
export function parseItemsCreate(body: unknown): readonly Item[] {
  const what = 'add items to a conversation';
  const fields = objectIn(body, what);
  const parsed = ADD.safeParse(fields);
  if (!parsed.success) throw refusalOf(parsed.error, fields, what, Object.keys(ADD_FIELDS));
  return parsed.data.items;
}

function objectIn(body: unknown, what: string): Readonly<Record<string, unknown>> {
  if (isObject(body)) return body;
  throw new SluiceError('invalid_request', `unable to ${what}; the request must be a JSON object`);
}
