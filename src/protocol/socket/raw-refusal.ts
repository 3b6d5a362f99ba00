/* A refusal as bytes of HTTP, for a connection that no framework answers: before a request was read, or after an upgrade was asked for. */

import { STATUS_CODES } from 'node:http';
import { type SluiceError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import { errorBody, errorHeaders, PRIVATE_HEADERS } from '../errors.js';

/** The whole answer; the connection is to be closed after it. @param more further headers, by their names */
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
