import { describe, expect, it } from '@jest/globals';

import { type ClientEvent, parseClientEvent, ProtocolRefusal } from '../../../src/protocol/socket/client-events.js';

const parse = (event: unknown): ClientEvent => parseClientEvent(JSON.stringify(event));

function refusal(text: string): ProtocolRefusal {
  try {
    parseClientEvent(text);
  } catch (error) {
    if (error instanceof ProtocolRefusal) return error;
    throw error;
  }
  throw new Error('the frame was not refused');
}

describe('a client event', () => {
  it('carries the request of response.create beside its type, a lane and an idempotency key', () => {
    const event = parse({
      type: 'response.create',
      stream: true,
      stream_id: 'lane.1',
      'sluice:idempotency_key': 'key-1',
      input: 'hi',
      model: 'm',
    });
    expect(event).toMatchObject({
      type: 'response.create',
      streamId: 'lane.1',
      idempotencyKey: 'key-1',
      request: { model: 'm', store: true, background: false, input: [{ role: 'user' }] },
    });
    expect(Object.keys(parse({ type: 'response.create', input: 'hi', stream_id: null })).sort()).toEqual([
      'request',
      'type',
    ]);
  });

  it.each<[object, ClientEvent]>([
    [
      { type: 'response.cancel', response_id: 'resp_1' },
      { type: 'response.cancel', responseId: 'resp_1' },
    ],
    [
      { type: 'response.cancel', stream_id: 'a', response_id: null },
      { type: 'response.cancel', streamId: 'a' },
    ],
    [
      { type: 'response.steer', previous_response_id: 'resp_1', input: ['x'], stream_id: 'a' },
      { type: 'response.steer', previousResponseId: 'resp_1', input: ['x'], streamId: 'a' },
    ],
    [
      { type: 'sluice:resume', response_id: 'resp_1' },
      { type: 'sluice:resume', responseId: 'resp_1', startingAfter: -1 },
    ],
    [
      { type: 'sluice:resume', response_id: 'resp_1', starting_after: 41, stream_id: 'a' },
      { type: 'sluice:resume', responseId: 'resp_1', startingAfter: 41, streamId: 'a' },
    ],
    [
      { type: 'sluice:subscribe', conversation: 'conv_1' },
      { type: 'sluice:subscribe', conversation: 'conv_1', streamId: 'sluice.watch' },
    ],
    [
      { type: 'sluice:unsubscribe', conversation: 'conv_1' },
      { type: 'sluice:unsubscribe', conversation: 'conv_1' },
    ],
    [
      { type: 'sluice:auth', token: 't' },
      { type: 'sluice:auth', token: 't' },
    ],
    [
      { type: 'sluice:ping', id: 7 },
      { type: 'sluice:ping', id: 7 },
    ],
    [{ type: 'sluice:ping' }, { type: 'sluice:ping', id: null }],
  ])('parses a client event: %j', (frame, event) => {
    expect(parse(frame)).toEqual(event);
  });

  it.each<[string, string, string | null]>([
    ['{"type":', 'invalid_json', null],
    ['', 'invalid_json', null],
    ['[]', 'invalid_request', null],
    ['null', 'invalid_request', null],
    ['"response.create"', 'invalid_request', null],
    ['{}', 'missing_required_parameter', 'type'],
    ['{"type":7}', 'invalid_value', 'type'],
    ['{"type":"response.creat"}', 'unknown_event', 'type'],
    ['{"type":"response.create"}', 'missing_required_parameter', 'input'],
    ['{"type":"response.create","input":"x","background":true}', 'unsupported_parameter', 'background'],
    ['{"type":"response.create","input":"x","stream_id":"a b"}', 'invalid_value', 'stream_id'],
    ['{"type":"response.create","input":"x","sluice:idempotency_key":""}', 'invalid_value', 'sluice:idempotency_key'],
    ['{"type":"response.cancel"}', 'missing_required_parameter', 'response_id'],
    ['{"type":"response.cancel","response_id":"a","stream_id":"b"}', 'invalid_value', 'stream_id'],
    ['{"type":"response.steer"}', 'missing_required_parameter', 'previous_response_id'],
    ['{"type":"sluice:resume"}', 'missing_required_parameter', 'response_id'],
    ['{"type":"sluice:resume","response_id":"a","starting_after":-2}', 'invalid_value', 'starting_after'],
    ['{"type":"sluice:resume","response_id":"a","starting_after":"4"}', 'invalid_value', 'starting_after'],
    ['{"type":"sluice:resume","response_id":"a","after":4}', 'unknown_parameter', 'after'],
    ['{"type":"sluice:auth"}', 'missing_required_parameter', 'token'],
    ['{"type":"sluice:ping","id":{}}', 'invalid_value', 'id'],
  ])('refuses a client event: %s', (text, code, param) => {
    const { error } = refusal(text);
    expect([error.code, error.param, error.status]).toEqual([code, param, 400]);
  });

  it('names the lane of a refused event if it is a valid lane', () => {
    expect(refusal('{"type":"response.create","stream_id":"a","temperature":9,"input":"x"}').streamId).toBe('a');
    expect(refusal('{"type":"nonsense","stream_id":"a"}').streamId).toBe('a');
    expect(refusal('{"type":"nonsense","stream_id":"a b"}').streamId).toBeUndefined();
    expect(refusal('{"type":"nonsense","stream_id":"a"').streamId).toBeUndefined();
  });

  it('names the nearest known type for an unknown one', () => {
    expect(refusal('{"type":"sluice:resum"}').error.message).toContain("did you mean 'sluice:resume'?");
    expect(refusal('{"type":"zzzzzzzzzzzzzzzz"}').error.message).toContain('known types are response.create');
  });

  it('survives deep nesting without recursion', () => {
    const deep = `{"type":"response.create","input":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(refusal(deep).error.status).toBe(400);
    const deepUnknown = `{"type":"response.create","input":"x","zzz":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(refusal(deepUnknown).error.code).toBe('invalid_request');
  });
});
