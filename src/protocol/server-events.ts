/*
 * What a server says on a socket beside a response's own events (those come from the log as they are). Every event is one
 * line of JSON text. The official client passes the `sluice:` ones through and loses nothing by it.
 */

import { type SluiceError } from '../domain/errors.js';
import { type Item } from '../domain/item.js';
import { type ResponseStatus } from '../domain/response.js';
import { retryHeaders, wireError } from './errors.js';

interface InLane {
  /** The lane of the frame that this answers; undefined: the default lane. */
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

export function encodeSluiceEvent(event: SluiceEvent): string {
  return JSON.stringify(event);
}

/** `sluice:snapshot` around the JSON of its response, which many connections share. */
export function encodeSnapshotAround(snapshot: {
  readonly responseId: string;
  readonly sequence: number;
  readonly streamId: string | undefined;
}): { readonly before: string; readonly after: string } {
  const { responseId, sequence, streamId } = snapshot;
  const head = JSON.stringify({ type: 'sluice:snapshot', response_id: responseId, sequence_number: sequence });
  const lane = streamId === undefined ? '' : `,"stream_id":${JSON.stringify(streamId)}`;
  return { before: `${head.slice(0, -1)},"response":`, after: `${lane}}` };
}

/** OpenAI's error event. What may be tried later says when, in the headers that an HTTP answer would have had. */
export function encodeError(error: SluiceError, streamId?: string): string {
  const headers = error.retryable ? retryHeaders(error) : {};
  return JSON.stringify({
    type: 'error',
    status: error.status,
    stream_id: streamId,
    error: { ...wireError(error), ...(Object.keys(headers).length === 0 ? {} : { headers }) },
  });
}

/** The answer to every `response.steer`: its input comes back, so that the client can send it as a turn of its own. */
export function encodeSteerFailed(previousResponseId: string, input: unknown, streamId?: string): string {
  return JSON.stringify({
    type: 'response.steer.failed',
    // It belongs to no response's log, so it has no place in one's order.
    sequence_number: 0,
    stream_id: streamId,
    steer: { previous_response_id: previousResponseId, input },
    error: {
      type: 'invalid_request_error',
      code: 'steering_not_supported',
      message:
        'unable to steer a running response; Sluice does not serve it; cancel it, or send the input as the next turn',
    },
  });
}
