/*
 * The events that a client may send on a socket: a closed union, parsed once. A refused frame
 * carries its reason and its lane, so that the error reaches the lane where the client waits. Knows
 * neither connections nor turns.
 */

import { z } from 'zod';
import { type ErrorCode, SluiceError } from '../../domain/errors.js';
import { nearest } from '../../domain/nearest.js';
import { type ResponseRequest } from '../../domain/request.js';
import { CURSOR, FROM_THE_START } from '../cursor.js';
import { IDEMPOTENCY_KEY } from '../idempotency-key.js';
import { shortName, refusalOf } from '../refusal.js';
import { parseResponseRequest, REQUEST_FIELDS } from '../responses/requests.js';
import { readClientRequestId } from '../client-request-id.js';
import { readJson } from '../read-json.js';
import { checkFields, isObject, present, withoutNulls } from '../schema-tools.js';

export type ClientEvent =
  | {
      readonly type: 'response.create';
      readonly request: ResponseRequest;
      readonly streamId?: string;
      readonly idempotencyKey?: string;
      /** W3C trace context: the turn becomes part of the caller's trace. */
      readonly traceparent?: string;
      /** The caller's own id of the request, for the log. */
      readonly clientRequestId?: string;
    }
  /**
   * Exactly one of the two is set: a response, or a lane, whose running and queued turns are
   * cancelled.
   */
  | { readonly type: 'response.cancel'; readonly responseId?: string; readonly streamId?: string }
  | {
      readonly type: 'response.steer';
      readonly previousResponseId: string;
      /** The input unchanged, because the answer returns it. */
      readonly input: unknown;
      readonly streamId?: string;
    }
  | {
      readonly type: 'sluice:resume';
      readonly responseId: string;
      /** Number of the last event that the client received, −1 if none. */
      readonly startingAfter: number;
      readonly streamId?: string;
    }
  | { readonly type: 'sluice:subscribe'; readonly conversation: string; readonly streamId: string }
  | { readonly type: 'sluice:unsubscribe'; readonly conversation: string }
  | { readonly type: 'sluice:auth'; readonly token: string }
  | { readonly type: 'sluice:ping'; readonly id: string | number | null };

type ClientEventType = ClientEvent['type'];

/** A refused frame: the reason, and the lane that it named, if that was readable. */
export class ProtocolRefusal extends Error {
  constructor(
    readonly error: SluiceError,
    readonly streamId: string | undefined,
    /** Whether the frame requested a turn. */
    readonly creates = false,
  ) {
    super(error.message, { cause: error });
    this.name = 'ProtocolRefusal';
  }
}

/** The form of a lane's name (`stream_id`) that OpenAI's own client enforces. */
const LANE_FORM = /^[A-Za-z0-9_.-]{1,256}$/u;

const LANE_NAME = z.string().regex(LANE_FORM, 'must be 1 to 256 letters, digits, dots, underscores or hyphens');

export function isLaneName(value: unknown): value is string {
  return typeof value === 'string' && LANE_FORM.test(value);
}

/** The lane of a subscription without `stream_id`. */
const WATCH_LANE = 'sluice.watch';

const ID = z.string().min(1).max(256);

/** Fields beside the request fields of `response.create`. */
export const ENVELOPE = z.object({
  stream_id: LANE_NAME.nullish(),
  'sluice:idempotency_key': IDEMPOTENCY_KEY.nullish(),
  'sluice:traceparent': z.string().max(256).nullish(),
  'sluice:request_id': z.string().max(256).nullish(),
});

export const EVENT_SCHEMAS = {
  'response.cancel': z.strictObject({
    response_id: ID.optional(),
    stream_id: LANE_NAME.optional(),
  }),
  'response.steer': z.strictObject({ previous_response_id: ID, input: z.unknown(), stream_id: LANE_NAME.optional() }),
  'sluice:resume': z.strictObject({
    response_id: ID,
    starting_after: CURSOR.optional(),
    stream_id: LANE_NAME.optional(),
  }),
  'sluice:subscribe': z.strictObject({ conversation: ID, stream_id: LANE_NAME.optional() }),
  'sluice:unsubscribe': z.strictObject({ conversation: ID }),
  'sluice:auth': z.strictObject({ token: z.string().min(1).max(16_384) }),
  'sluice:ping': z.strictObject({ id: z.union([z.string().max(128), z.number()]).optional() }),
} as const;

/** Every `type` that a frame may have. */
export const EVENT_TYPES: readonly string[] = ['response.create', ...Object.keys(EVENT_SCHEMAS)];

/** Parses one text frame. @throws ProtocolRefusal if it is not a client event */
export function parseClientEvent(text: string): ClientEvent {
  let frame: unknown;
  try {
    frame = readJson(text, 'the message', 'it is not JSON; send one JSON object a frame');
  } catch (thrown) {
    // readJson throws only SluiceError.
    throw new ProtocolRefusal(thrown as SluiceError, undefined);
  }
  if (!isObject(frame)) {
    const message = 'unable to read the message; it is not a JSON object; send one JSON object a frame';
    throw new ProtocolRefusal(new SluiceError('invalid_request', message), undefined);
  }
  try {
    return eventOf(frame);
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown;
    const streamId = isLaneName(frame['stream_id']) ? frame['stream_id'] : undefined;
    throw new ProtocolRefusal(thrown, streamId, frame['type'] === 'response.create');
  }
}

function eventOf(frame: Readonly<Record<string, unknown>>): ClientEvent {
  checkFields(frame, 'read the message');
  const { type, ...fields } = frame;
  switch (type) {
    case 'response.create':
      return createOf(fields);
    case 'response.cancel': {
      const { response_id: responseId, stream_id: streamId } = read(EVENT_SCHEMAS[type], type, fields);
      if ((responseId === undefined) === (streamId === undefined)) {
        const why = 'name either response_id or stream_id';
        throw responseId === undefined
          ? refused('missing_required_parameter', `unable to cancel; ${why}`, 'response_id')
          : refused('invalid_value', `unable to cancel; ${why}, not both`, 'stream_id');
      }
      return { type, ...present({ responseId, streamId }) };
    }
    case 'response.steer': {
      const {
        previous_response_id: previousResponseId,
        input,
        stream_id: streamId,
      } = read(EVENT_SCHEMAS[type], type, fields);
      return { type, previousResponseId, input: input ?? null, ...present({ streamId }) };
    }
    case 'sluice:resume': {
      const {
        response_id: responseId,
        starting_after: cursor,
        stream_id: streamId,
      } = read(EVENT_SCHEMAS[type], type, fields);
      return { type, responseId, startingAfter: cursor ?? FROM_THE_START, ...present({ streamId }) };
    }
    case 'sluice:subscribe': {
      const { conversation, stream_id: streamId } = read(EVENT_SCHEMAS[type], type, fields);
      return { type, conversation, streamId: streamId ?? WATCH_LANE };
    }
    case 'sluice:unsubscribe':
      return { type, conversation: read(EVENT_SCHEMAS[type], type, fields).conversation };
    case 'sluice:auth':
      return { type, token: read(EVENT_SCHEMAS[type], type, fields).token };
    case 'sluice:ping':
      return { type, id: read(EVENT_SCHEMAS[type], type, fields).id ?? null };
    default:
      throw unknownType(type);
  }
}

function createOf(fields: Readonly<Record<string, unknown>>): ClientEvent {
  const envelope = ENVELOPE.safeParse(fields);
  if (!envelope.success) throw refusalOf(envelope.error, fields, 'create a response', REQUEST_FIELDS);
  const {
    'sluice:idempotency_key': idempotencyKey,
    'sluice:traceparent': traceparent,
    'sluice:request_id': clientRequestId,
    stream_id: streamId,
  } = envelope.data;
  const { 'sluice:idempotency_key': _key, 'sluice:traceparent': _trace, 'sluice:request_id': _id, ...request } = fields;
  return {
    type: 'response.create',
    request: parseResponseRequest(request, 'socket').request,
    ...present({
      streamId: streamId ?? undefined,
      idempotencyKey: idempotencyKey ?? undefined,
      traceparent: traceparent ?? undefined,
      clientRequestId: readClientRequestId(clientRequestId),
    }),
  };
}

function read<Schema extends z.ZodObject>(
  schema: Schema,
  type: ClientEventType,
  fields: Readonly<Record<string, unknown>>,
): z.output<Schema> {
  const parsed = schema.safeParse(withoutNulls(fields));
  if (!parsed.success) throw refusalOf(parsed.error, fields, `read ${type}`, Object.keys(schema.shape));
  return parsed.data;
}

function unknownType(type: unknown): SluiceError {
  if (type === undefined || type === null) {
    return refused('missing_required_parameter', 'unable to read the message; its type is missing', 'type');
  }
  if (typeof type !== 'string')
    return refused('invalid_value', 'unable to read the message; its type must be a string', 'type');
  const near = nearest(type, EVENT_TYPES);
  const hint = near === undefined ? `known types are ${EVENT_TYPES.join(', ')}` : `did you mean '${near}'?`;
  return refused(
    'unknown_event',
    `unable to read the message; '${shortName(type)}' is no client event; ${hint}`,
    'type',
  );
}

function refused(code: ErrorCode, message: string, param: string): SluiceError {
  return new SluiceError(code, message, { param });
}
