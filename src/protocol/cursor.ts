/*
 * Cursors into a response's log, as written in URLs and headers: the number of the last event that
 * the client received.
 */

import { z } from 'zod';

import { SluiceError } from '../domain/errors.js';

/** The cursor before the first event. */
export const FROM_THE_START = -1;

/** A cursor inside a JSON frame. */
export const CURSOR = z.int().min(FROM_THE_START);

/**
 * Reads a cursor from text: a whole number, −1 for the start.
 * @throws SluiceError `invalid_value` with `param`
 */
export function parseCursor(text: string, param: string): number {
  if (/^(?:-1|\d{1,15})$/u.test(text)) return Number(text);
  throw new SluiceError(
    'invalid_value',
    `unable to read ${param}; it must be the sequence number of the last event that was seen, or -1`,
    { param },
  );
}
