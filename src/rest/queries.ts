/*
 * Reads the query of a REST call, and the headers with the same meaning. Unknown parameters are
 * refused, as in bodies.
 */

import { z } from 'zod';

import { SluiceError } from '../domain/errors.js';
import { FROM_THE_START, parseCursor } from '../protocol/cursor.js';
import { IDEMPOTENCY_KEY } from '../protocol/idempotency-key.js';
import { refusalOf } from '../protocol/refusal.js';
import { inert } from '../protocol/schema-tools.js';
import { INCLUDE as NAMES, INCLUDE_REASON } from '../protocol/responses/unserved-fields.js';

/**
 * `include`, as the official client writes it or bare. Accepted only with values that have no
 * effect here.
 */
const include = inert(
  z.preprocess((value) => [value].flat(), NAMES),
  INCLUDE_REASON,
);
const INCLUDE = { 'include[]': include, include };
const RETRIEVE = z.strictObject({
  ...INCLUDE,
  stream: z.enum(['true', 'false']).optional(),
  starting_after: z.string().optional(),
  // A hint: streams are not padded here.
  include_obfuscation: z.enum(['true', 'false']).optional(),
});
const PAGING = {
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/u, 'must be a whole number from 1 to 100')
    .optional(),
  after: z.string().max(256).optional(),
};
const LIST = z.strictObject({ ...INCLUDE, ...PAGING, order: z.enum(['asc', 'desc']).optional() });
/** Only one order is supported: newest first. */
const HISTORY = z.strictObject({ ...PAGING, order: z.literal('desc').optional() });
const DELETION = z.strictObject({ responses: z.enum(['delete', 'keep']).optional() });
const NOTHING = z.strictObject(INCLUDE);

export interface RetrieveQuery {
  readonly stream: boolean;
  /** Number of the last event that the client received. */
  readonly after: number;
  /** Whether an EventSource reconnects: it sent its last event in a header. */
  readonly reconnects: boolean;
}

/**
 * Reads where a stream starts. `Last-Event-ID` takes precedence over `starting_after`: a browser
 * that reconnects repeats its first URL and adds the newer number as a header.
 * @throws SluiceError 400
 */
export function readRetrieveQuery(query: unknown, lastEventId: string | undefined): RetrieveQuery {
  const fields = read(RETRIEVE, query);
  // The official client for Go sends `stream` in a body, which a GET request does not have.
  const stream = (fields.stream ?? (fields.starting_after === undefined ? 'false' : 'true')) === 'true';
  if (!stream && fields.starting_after !== undefined) {
    throw new SluiceError('invalid_value', 'unable to read the query; starting_after needs stream=true', {
      param: 'starting_after',
    });
  }
  if (stream && lastEventId !== undefined && lastEventId !== '') {
    return { stream, after: parseCursor(lastEventId, 'Last-Event-ID'), reconnects: true };
  }
  const { starting_after: cursor } = fields;
  const after = cursor === undefined ? FROM_THE_START : parseCursor(cursor, 'starting_after');
  return { stream, after, reconnects: false };
}

export interface ListQuery {
  readonly limit: number;
  readonly order: 'asc' | 'desc';
  readonly after?: string;
}

/** Reads OpenAI's paging. Defaults: 20, newest first. @throws SluiceError 400 */
export function readListQuery(query: unknown): ListQuery {
  const { limit, order, after } = read(LIST, query);
  return { limit: Number(limit ?? 20), order: order ?? 'desc', ...(after === undefined ? {} : { after }) };
}

/** Other parameters of a create are ignored: clients of other servers may always send theirs. */
const CREATE = z.object({ on_disconnect: z.enum(['cancel', 'continue']).optional() });

/**
 * Reads what happens to a turn whose client disconnects.
 * @param background whether the response runs without a waiting client
 * @returns undefined if the client did not choose
 * @throws SluiceError 400
 */
export function readOnDisconnect(query: unknown, background: boolean): 'cancel' | 'continue' | undefined {
  const { on_disconnect: wish } = read(CREATE, query);
  if (wish === 'cancel' && background) {
    throw new SluiceError(
      'invalid_value',
      'unable to read the query; a background response outlives its client; leave on_disconnect out',
      { param: 'on_disconnect' },
    );
  }
  return wish;
}

/** Reads the paging of a list with a fixed order. @throws SluiceError 400 */
export function readHistoryQuery(query: unknown): Omit<ListQuery, 'order'> {
  const { limit, after } = read(HISTORY, query);
  return { limit: Number(limit ?? 20), ...(after === undefined ? {} : { after }) };
}

/**
 * Reads whether the responses of a deleted conversation are deleted too. @throws SluiceError 400
 */
export function readDeletionQuery(query: unknown): 'delete' | 'keep' {
  return read(DELETION, query).responses ?? 'delete';
}

/** Refuses any parameter, for routes without a query. @throws SluiceError 400 */
export function refuseQuery(query: unknown): void {
  read(NOTHING, query);
}

/** Reads the `Idempotency-Key` header. @throws SluiceError 400 */
export function readIdempotencyKey(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const parsed = IDEMPOTENCY_KEY.safeParse(header);
  if (parsed.success) return parsed.data;
  throw new SluiceError(
    'invalid_value',
    'unable to read Idempotency-Key; it must be 1 to 255 printable ASCII characters',
    {
      param: 'Idempotency-Key',
    },
  );
}

/**
 * Reads the parameters that a route has. `on_disconnect` is ignored where no turn starts: a client
 * that sets it for all of its requests, as the official one does with `defaultQuery`, is not
 * refused.
 */
function read<Schema extends z.ZodObject>(schema: Schema, query: unknown): z.output<Schema> {
  // A parsed query is an object of texts and lists.
  const { on_disconnect: wish, ...fields } = { ...(query as Readonly<Record<string, unknown>> | undefined) };
  const parsed = schema.safeParse('on_disconnect' in schema.shape ? { ...fields, on_disconnect: wish } : fields);
  if (!parsed.success) throw refusalOf(parsed.error, query, 'read the query', Object.keys(schema.shape));
  return parsed.data;
}
