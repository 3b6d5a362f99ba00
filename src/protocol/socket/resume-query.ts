/*
 * Resume without a client event: `?resume=resp_a:41,resp_b:7:lane` on the socket's URL, for clients
 * that can set a URL but cannot send a frame of Sluice.
 */

import { SluiceError } from '../../domain/errors.js';
import { parseCursor } from '../cursor.js';
import { isLaneName } from './client-events.js';

export interface ResumePoint {
  readonly responseId: string;
  /** Number of the last event that the client received, −1 if none. */
  readonly startingAfter: number;
  readonly streamId?: string;
}

/** The most responses that a connection may have in flight. */
const MOST_POINTS = 16;

const NO_POINTS: readonly ResumePoint[] = [];

/** Parses the value of `resume`. @throws SluiceError `invalid_value` with param `resume` */
export function parseResumeQuery(text: string): readonly ResumePoint[] {
  if (text === '') return NO_POINTS;
  const points = text
    .split(',')
    .filter((entry) => entry !== '')
    .map(pointOf);
  if (points.length > MOST_POINTS) throw refused(`at most ${MOST_POINTS} responses can be resumed at once`);
  if (new Set(points.map((point) => point.responseId)).size !== points.length)
    throw refused('a response is named twice');
  return points;
}

function pointOf(entry: string): ResumePoint {
  const [responseId = '', cursor, streamId, ...rest] = entry.split(':');
  if (!/^[A-Za-z0-9_-]{1,256}$/u.test(responseId) || cursor === undefined || rest.length > 0) {
    throw refused('an entry reads response_id:sequence_number, or response_id:sequence_number:stream_id');
  }
  const startingAfter = parseCursor(cursor, 'resume');
  if (streamId === undefined) return { responseId, startingAfter };
  if (!isLaneName(streamId)) throw refused('a lane is 1 to 256 letters, digits, dots, underscores or hyphens');
  return { responseId, startingAfter, streamId };
}

function refused(why: string): SluiceError {
  return new SluiceError('invalid_value', `unable to resume; ${why}`, { param: 'resume' });
}
