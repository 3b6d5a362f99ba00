import { describe, expect, it } from '@jest/globals';

import { SluiceError } from '../../../src/domain/errors.js';
import { CLOSE_CODES } from '../../../src/protocol/socket/close-codes.js';
import { parseConversationCreate } from '../../../src/protocol/responses/conversation-requests.js';
import { parseCursor } from '../../../src/protocol/cursor.js';
import { errorBody, retryHeaders } from '../../../src/protocol/errors.js';
import { requestFingerprint } from '../../../src/protocol/idempotency-key.js';
import { parseResponseRequest } from '../../../src/protocol/responses/requests.js';
import { parseResumeQuery } from '../../../src/protocol/socket/resume-query.js';
import { encodeError, encodeSluiceEvent, encodeSteerFailed } from '../../../src/protocol/socket/server-events.js';

describe('an error on the wire', () => {
  it("formats an error with OpenAI's body, without the cause", () => {
    const error = new SluiceError('invalid_value', 'unable to x; y', { param: 'input[0]', cause: new Error('secret') });
    expect(errorBody(error)).toEqual({
      error: { message: 'unable to x; y', type: 'invalid_request_error', code: 'invalid_value', param: 'input[0]' },
    });
    expect(JSON.stringify(errorBody(error))).not.toContain('secret');
  });

  it('states whether and when to retry', () => {
    const headers = (...of: ConstructorParameters<typeof SluiceError>) => retryHeaders(new SluiceError(...of));
    expect(headers('idempotency_key_reused', '')).toEqual({ 'x-should-retry': 'false' });
    expect(headers('invalid_value', '')).toEqual({ 'x-should-retry': 'false' });
    expect(headers('rate_limit_exceeded', '', { retryAfterMs: 1_200 })).toEqual({
      'x-should-retry': 'true',
      'retry-after': '2',
      'retry-after-ms': '1200',
    });
    expect(headers('draining', '')).toEqual({
      'x-should-retry': 'true',
      'retry-after': '1',
      'retry-after-ms': '1000',
    });
    expect(headers('conversation_busy', '')).toHaveProperty('retry-after');
    expect(headers('server_error', '')).toEqual({});
  });

  it('formats an error on a socket as an event in the lane of the frame it answers', () => {
    expect(JSON.parse(encodeError(new SluiceError('response_not_found', 'unable to x; y'), 'a'))).toEqual({
      type: 'error',
      status: 404,
      stream_id: 'a',
      error: { message: 'unable to x; y', type: 'not_found_error', code: 'response_not_found', param: null },
    });
    const limited = encodeError(new SluiceError('rate_limit_exceeded', 'm', { retryAfterMs: 500 }));
    expect(JSON.parse(limited)).toMatchObject({ error: { headers: { 'retry-after-ms': '500' } } });
    expect(limited).not.toContain('stream_id');
  });
});

describe('events of our own', () => {
  it('writes events of our own as one line of JSON for any text', () => {
    const input = 'line\nbreak \u2028 "quote" \ud800';
    const text = encodeSteerFailed('resp_1', input, 'a');
    expect(text).not.toContain('\n');
    expect(JSON.parse(text)).toMatchObject({
      type: 'response.steer.failed',
      stream_id: 'a',
      steer: { previous_response_id: 'resp_1', input },
      error: { code: 'steering_not_supported' },
    });
    expect(encodeSluiceEvent({ type: 'sluice:pong', id: 'x' })).toBe('{"type":"sluice:pong","id":"x"}');
    expect(encodeSluiceEvent({ type: 'sluice:unsubscribed', conversation: 'c' })).not.toContain('stream_id');
  });
});

describe('cursors on the wire', () => {
  it('accepts whole numbers from -1 as cursors', () => {
    expect(parseCursor('-1', 'starting_after')).toBe(-1);
    expect(parseCursor('41', 'starting_after')).toBe(41);
    for (const text of ['', '-2', '1.5', 'x', '1e3', '9'.repeat(16), ' 1', '0x1']) {
      expect(() => parseCursor(text, 'starting_after')).toThrow(
        expect.objectContaining({ code: 'invalid_value', param: 'starting_after' }),
      );
    }
  });

  it('parses cursors from the URL of a socket that resumes', () => {
    expect(parseResumeQuery('resp_a:41,resp_b:-1:lane.x')).toEqual([
      { responseId: 'resp_a', startingAfter: 41 },
      { responseId: 'resp_b', startingAfter: -1, streamId: 'lane.x' },
    ]);
    expect(parseResumeQuery('')).toEqual([]);
    const many = Array.from({ length: 17 }, (_, i) => `resp_${i}:0`).join();
    for (const text of [
      'resp_a',
      'resp_a:',
      ':1',
      'resp_a:x',
      'resp_a:1:b c',
      'resp_a:1:b:c',
      'resp_a:1,resp_a:2',
      many,
    ]) {
      expect(() => parseResumeQuery(text)).toThrow(expect.objectContaining({ code: 'invalid_value', param: 'resume' }));
    }
  });
});

describe('a new conversation', () => {
  it('parses a new conversation that is empty, or begins with items and metadata', () => {
    expect(parseConversationCreate(undefined)).toEqual({ items: [], metadata: {} });
    expect(parseConversationCreate({ items: null, metadata: null })).toEqual({ items: [], metadata: {} });
    expect(parseConversationCreate({ items: [{ role: 'user', content: 'x' }], metadata: { a: 'b' } })).toMatchObject({
      items: [{ type: 'message', role: 'user' }],
      metadata: { a: 'b' },
    });
  });

  it('refuses a new conversation with the name of the invalid field', () => {
    const many = Array.from({ length: 21 }, () => ({ role: 'user', content: 'x' }));
    expect(() => parseConversationCreate({ items: many })).toThrow(expect.objectContaining({ param: 'items' }));
    expect(() => parseConversationCreate({ item: [] })).toThrow(/did you mean 'items'/);
    expect(() => parseConversationCreate([])).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});

describe('a request that is sent again', () => {
  const of = (body: object, edge: 'rest' | 'socket' = 'rest') =>
    requestFingerprint(parseResponseRequest(body, edge).request);

  it('recognizes a repeated request by its meaning, not by its notation or transport', () => {
    const body = { input: 'x', metadata: { a: '1', b: '2' } };
    expect(of({ metadata: { b: '2', a: '1' }, input: 'x', model: null, stream: true })).toBe(of(body));
    expect(of({ ...body, stream_id: 'a' }, 'socket')).toBe(of(body));
    expect(of({ ...body, input: [{ role: 'user', content: 'x' }] })).toBe(of(body));
  });

  it('differs if its meaning differs', () => {
    const bodies = [
      { input: 'x' },
      { input: 'y' },
      { input: 'x', store: false },
      { input: ['x', 'y'].map((content) => ({ role: 'user', content })) },
      { input: 'x', metadata: { a: 'b' } },
      { input: 'x', metadata: { b: 'a' } },
    ];
    expect(new Set(bodies.map((body) => of(body))).size).toBe(bodies.length);
  });
});

describe('close codes', () => {
  it('uses only close codes that a server may send', () => {
    for (const code of Object.values(CLOSE_CODES))
      expect([1000, 1001, 1003, 1007, 1008, 1009, 1011, 1012, 1013]).toContain(code);
  });
});
