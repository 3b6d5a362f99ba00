/*
 * Server events on a socket other than a response's events, which are the bytes of its log. Every
 * event is one JSON text. The official client passes `sluice:` events to its listeners and
 * otherwise ignores them.
 */

import { type SluiceError } from '../../domain/errors.js';
import { type ResponseEvent } from '../../domain/event.js';
import { type Item } from '../../domain/item.js';
import { type ResponseObject, type ResponseStatus } from '../../domain/response.js';
import { retryHeaders, type WireError, wireError } from '../errors.js';

interface InLane {
  /** The lane of the frame that this answers; undefined means the default lane. */
  readonly stream_id?: string | undefined;
}

export type SluiceEvent =
  | {
      readonly type: 'sluice:hello';
      readonly connection_id: string;
      readonly heartbeat_ms: number;
      readonly max_message_bytes: number;
    }
  | ({
      readonly type: 'sluice:resumed';
      readonly response_id: string;
      readonly starting_after: number;
      readonly status: ResponseStatus;
    } & InLane)
  | ({ readonly type: 'sluice:cancelled'; readonly response_id: string; readonly status: ResponseStatus } & InLane)
  | ({
      readonly type: 'sluice:subscribed';
      readonly conversation: string;
      readonly running: readonly { readonly response_id: string; readonly sequence_number: number }[];
    } & InLane)
  | ({
      readonly type: 'sluice:turn';
      readonly conversation: string;
      readonly response_id: string;
      readonly input: readonly Item[];
    } & InLane)
  | { readonly type: 'sluice:unsubscribed'; readonly conversation: string }
  | { readonly type: 'sluice:authenticated' }
  | { readonly type: 'sluice:auth_expiring'; readonly expires_in_ms: number }
  | { readonly type: 'sluice:draining'; readonly reconnect_after_ms: number }
  | { readonly type: 'sluice:pong'; readonly id: string | number | null };

interface SnapshotEvent extends InLane {
  readonly type: 'sluice:snapshot';
  readonly response_id: string;
  /** Number of the last event that `response` contains. */
  readonly sequence_number: number;
  readonly response: ResponseObject;
}

interface ErrorEvent extends InLane {
  readonly type: 'error';
  /** The HTTP status that the same refusal has over REST. */
  readonly status: number;
  readonly error: WireError & { readonly headers?: Readonly<Record<string, string>> };
}

interface SteerFailedEvent extends InLane {
  readonly type: 'response.steer.failed';
  readonly sequence_number: 0;
  readonly steer: { readonly previous_response_id: string; readonly input: unknown };
  readonly error: {
    readonly type: 'invalid_request_error';
    readonly code: 'steering_not_supported';
    readonly message: string;
  };
}

/**
 * Every event that a socket can carry to a client. PROTOCOL.md documents each; a test compares the
 * two.
 */
export type ServerEvent =
  | (ResponseEvent & { readonly sequence_number: number } & InLane)
  | SluiceEvent
  | SnapshotEvent
  | ErrorEvent
  | SteerFailedEvent;

export function encodeSluiceEvent(event: SluiceEvent): string {
  return JSON.stringify(event);
}

/**
 * Encodes a `sluice:snapshot` without its response, whose JSON many connections share.
 * @returns the text before and after the JSON of the response
 */
export function encodeSnapshotAround(snapshot: {
  readonly responseId: string;
  readonly sequence: number;
  readonly streamId: string | undefined;
}): { readonly before: string; readonly after: string } {
  const { responseId, sequence, streamId } = snapshot;
  const head = JSON.stringify({
    type: 'sluice:snapshot',
    response_id: responseId,
    sequence_number: sequence,
  } satisfies Omit<SnapshotEvent, 'response' | 'stream_id'>);
  const lane = streamId === undefined ? '' : `,"stream_id":${JSON.stringify(streamId)}`;
  return { before: `${head.slice(0, -1)},"response":`, after: `${lane}}` };
}

/**
 * Encodes OpenAI's error event. If the error is retryable, it carries the headers of the HTTP
 * answer.
 */
export function encodeError(error: SluiceError, streamId?: string): string {
  const headers = error.retryable ? retryHeaders(error) : {};
  return JSON.stringify({
    type: 'error',
    status: error.status,
    stream_id: streamId,
    error: { ...wireError(error), ...(Object.keys(headers).length === 0 ? {} : { headers }) },
  } satisfies ErrorEvent);
}

/**
 * Encodes the answer to every `response.steer`. It returns the input, so that the client can send
 * it as a turn.
 */
export function encodeSteerFailed(previousResponseId: string, input: unknown, streamId?: string): string {
  return JSON.stringify({
    type: 'response.steer.failed',
    // Not part of any response's log; the official types require a number.
    sequence_number: 0,
    stream_id: streamId,
    steer: { previous_response_id: previousResponseId, input },
    error: {
      type: 'invalid_request_error',
      code: 'steering_not_supported',
      message:
        'unable to steer a running response; Sluice does not serve it; cancel it, or send the input as the next turn',
    },
  } satisfies SteerFailedEvent);
}
