/* Compares the error codes in PROTOCOL.md with those in the code and those that clients receive. */

import { readFileSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { ERROR_CODES, type ErrorCode, SluiceError } from '../../src/domain/errors.js';
import { errorBody, retryHeaders } from '../../src/protocol/errors.js';
import { encodeError } from '../../src/protocol/socket/server-events.js';

const rows = [...readFileSync('PROTOCOL.md', 'utf8').matchAll(/^\| `(\w+)` \| (\d{3}) \| `(\w+)` \| (yes|no) \|$/gmu)];

it('lists every error code in PROTOCOL.md with its status, type and whether to retry [ERR-4]', () => {
  const listed = rows.map(([, code, status, type, again]) => [
    code,
    { status: Number(status), type, retryable: again === 'yes' },
  ]);
  expect(Object.fromEntries(listed)).toEqual(ERROR_CODES);
});

it.each(rows.map(([, code]) => code as ErrorCode))(
  'sends %s alike over HTTP and on a socket [ERR-1, ERR-3, ERR-4]',
  (code) => {
    const error = new SluiceError(code, 'unable to do it; because; do this');
    const { status, type, retryable } = ERROR_CODES[code];
    expect(errorBody(error)).toEqual({ error: { message: error.message, type, code, param: null } });
    const { error: sent, ...frame } = JSON.parse(encodeError(error, 'a')) as Record<string, Record<string, unknown>>;
    expect(frame).toEqual({ type: 'error', status, stream_id: 'a' });
    expect(sent).toMatchObject(errorBody(error).error);

    const headers = retryHeaders(error);
    const later = retryable && [409, 429, 503].includes(status);
    expect(headers['x-should-retry']).toBe(later ? 'true' : retryable ? undefined : 'false');
    expect(headers['retry-after'] !== undefined && headers['retry-after-ms'] !== undefined).toBe(later);
    expect(sent?.['headers']).toEqual(later ? headers : undefined);
  },
);
