/* The names of lanes (`stream_id`). */

import { z } from 'zod';

/** The form that OpenAI's own client enforces. */
const FORM = /^[A-Za-z0-9_.-]{1,256}$/u;

export const LANE_NAME = z.string().regex(FORM, 'must be 1 to 256 letters, digits, dots, underscores or hyphens');

export function isLaneName(value: unknown): value is string {
  return typeof value === 'string' && FORM.test(value);
}
