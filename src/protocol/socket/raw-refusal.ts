/*
 * Formats a refusal as raw HTTP, for connections without a framework: before a request is read, or
 * on a refused upgrade.
 */

import { STATUS_CODES } from 'node:http';
import { type SluiceError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import { errorBody, errorHeaders, PRIVATE_HEADERS } from '../errors.js';

/** @param more further headers by name. @returns the whole answer; close the connection after it */
export function rawRefusal(error: SluiceError, more: Readonly<Record<string, string>> = {}): string {
  const body = JSON.stringify(errorBody(error));
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    'x-request-id': newId('req'),
    ...PRIVATE_HEADERS,
    ...errorHeaders(error),
    ...more,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}
