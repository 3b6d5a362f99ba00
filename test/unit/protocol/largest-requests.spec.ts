/*
 * No request of legal size costs more than 100 ms of CPU or fills the heap. The requests are made
 * from the schemas, so that a new field is measured without a line here; the table of routes and
 * events is compared with the program's own.
 */

import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { SluiceError } from '../../../src/domain/errors.js';
import { CHAT_REQUEST, parseChatRequest } from '../../../src/protocol/chat/chat-requests.js';
import {
  ENVELOPE,
  EVENT_SCHEMAS,
  EVENT_TYPES,
  parseClientEvent,
  ProtocolRefusal,
} from '../../../src/protocol/socket/client-events.js';
import {
  CONVERSATION_CREATE,
  CONVERSATION_UPDATE,
  ITEMS_CREATE,
  parseConversationCreate,
  parseConversationUpdate,
  parseItemsCreate,
} from '../../../src/protocol/responses/conversation-requests.js';
import { requestFingerprint } from '../../../src/protocol/idempotency-key.js';
import { MOST_LEVELS, MOST_VALUES, readJson } from '../../../src/protocol/read-json.js';
import { parseResponseRequest, RESPONSE_REQUEST } from '../../../src/protocol/responses/requests.js';
import { closed, listOf } from '../../../src/protocol/schema-tools.js';
import { ChatCompletionsController } from '../../../src/rest/chat-completions.controller.js';
import { ConversationsController } from '../../../src/rest/conversations.controller.js';
import { ResponsesController } from '../../../src/rest/responses.controller.js';
import { FILLINGS, LARGEST_BYTES, largestRequests } from '../../support/largest-requests.js';
import { costOf, cpuBudgetMs } from '../../support/cost.js';

interface Way {
  readonly schema: z.ZodType;
  readonly read: (text: string) => unknown;
}

const body = (text: string): unknown => readJson(text, 'the request', 'send JSON');
const fingerprinted =
  (read: (text: string) => { request: Parameters<typeof requestFingerprint>[0] }) => (text: string) =>
    requestFingerprint(read(text).request);

/** Every route that takes a body, and every event. */
const ROUTES: Readonly<Record<string, Way | 'no body'>> = {
  'v1/responses /': {
    schema: RESPONSE_REQUEST,
    read: fingerprinted((text) => parseResponseRequest(body(text), 'rest')),
  },
  'v1/responses :id/cancel': 'no body',
  'v1/chat/completions /': { schema: CHAT_REQUEST, read: fingerprinted((text) => parseChatRequest(body(text))) },
  'v1/conversations /': { schema: CONVERSATION_CREATE, read: (text) => parseConversationCreate(body(text)) },
  'v1/conversations :id': { schema: CONVERSATION_UPDATE, read: (text) => parseConversationUpdate(body(text)) },
  'v1/conversations :id/items': { schema: ITEMS_CREATE, read: (text) => parseItemsCreate(body(text)) },
};
const EVENTS: Readonly<Record<string, z.ZodType>> = {
  'response.create': z.strictObject({ ...ENVELOPE.shape }),
  ...EVENT_SCHEMAS,
};

const postRoutes = [ResponsesController, ChatCompletionsController, ConversationsController].flatMap((controller) =>
  Object.values(Object.getOwnPropertyDescriptors(controller.prototype))
    .map(({ value }) => value as object)
    .filter((method) => Reflect.getMetadata(METHOD_METADATA, method) === RequestMethod.POST)
    .map((method) => `${Reflect.getMetadata(PATH_METADATA, controller)} ${Reflect.getMetadata(PATH_METADATA, method)}`),
);

/** Parses a text, valid or refused. Any error but a SluiceError fails the test. */
function tried(read: (text: string) => unknown, text: string): void {
  try {
    read(text);
  } catch (thrown) {
    if (!(thrown instanceof SluiceError || thrown instanceof ProtocolRefusal)) throw thrown;
    expect(thrown.message.length).toBeLessThan(2_000);
  }
}

/** Entries over the limit: name, milliseconds, MiB. */
function tooDear(
  requests: Iterable<{ readonly name: string; readonly text: string }>,
  read: (text: string) => unknown,
) {
  const dear: string[] = [];
  let seen = 0;
  for (const { name, text } of requests) {
    expect(Buffer.byteLength(text)).toBeLessThan(LARGEST_BYTES + 100_000);
    seen += 1;
    const { cpuMs, heapMiB } = costOf(() => tried(read, text), cpuBudgetMs(100), 64);
    if (cpuMs > cpuBudgetMs(100) || heapMiB > 64)
      dear.push(`${name}: ${Math.round(cpuMs)} ms, ${Math.round(heapMiB)} MiB`);
  }
  expect(seen).toBeGreaterThan(0);
  return dear;
}

describe('the largest legal requests', () => {
  it('measures the largest request of every route with a body and of every event', () => {
    expect(Object.keys(ROUTES).sort()).toEqual(postRoutes.sort());
    expect(Object.keys(EVENTS).sort()).toEqual([...EVENT_TYPES].sort());
  });

  it.each(Object.entries(ROUTES).filter((entry): entry is [string, Way] => entry[1] !== 'no body'))(
    'parses the largest legal request in at most 100 ms of CPU and 64 MiB of heap: POST %s [REQ-24]',
    (_route, { schema, read }) => {
      expect(tooDear(largestRequests(schema), read)).toEqual([]);
    },
  );

  it.each(Object.entries(EVENTS))(
    'parses the largest legal event in at most 100 ms of CPU and 64 MiB of heap: %s [REQ-24]',
    (type, schema) => {
      const wrap = (inner: string): string => (inner.startsWith('{') ? `{"type":"${type}",${inner.slice(1)}` : inner);
      expect(tooDear(largestRequests(schema, wrap), parseClientEvent)).toEqual([]);
    },
  );

  it.each([
    ['values', `[${'1,'.repeat(500_000)}1]`],
    ['keys', `{"type":"response.create",${Array.from({ length: 70_000 }, (_, i) => `"k${i}":1`).join(',')}}`],
    ['levels', `{"input":${'['.repeat(500_000)}${']'.repeat(500_000)}}`],
    ['maps', `{"input":[${'{},'.repeat(300_000)}{}]}`],
  ])('refuses a request before parsing for too many %s [REQ-24]', (_what, text) => {
    const { cpuMs } = costOf(() => tried(body, text), cpuBudgetMs(20), 16);
    expect(cpuMs).toBeLessThan(cpuBudgetMs(20));
    expect(() => body(text)).toThrow(/unable to read the request; it (?:has more than|is nested more than)/u);
  });
});

describe('the count of a text', () => {
  it('counts values and levels up to its limit exactly [REQ-24]', () => {
    const list = (values: number): string => `[${Array.from({ length: values - 1 }, () => 1).join(',')}]`;
    expect(body(list(MOST_VALUES - 1))).toHaveLength(MOST_VALUES - 2);
    expect(() => body(list(MOST_VALUES + 2))).toThrow('values');
    expect(body('['.repeat(MOST_LEVELS) + ']'.repeat(MOST_LEVELS))).toEqual(expect.any(Array));
    expect(() => body('['.repeat(MOST_LEVELS + 1) + ']'.repeat(MOST_LEVELS + 1))).toThrow('levels');
  });

  it('does not count characters inside strings [REQ-24]', () => {
    const text = `{"a":"${'[{,'.repeat(60_000)}","b\\\\":"\\\\\\",[[","c":"\\\\"}`;
    expect(body(text)).toEqual(JSON.parse(text));
  });

  it.each(['{"a":"', '"\\', '"\\\\\\', '{', '', '"'])('stops at the end of a broken text: %j', (text) => {
    expect(() => body(text)).toThrow('unable to read the request; send JSON');
  });
});

describe('a list of a schema', () => {
  it('reads a list up to its first mistake', () => {
    let read = 0;
    const element = z.unknown().transform((value, context) => {
      read += 1;
      if (value === 'wrong') context.addIssue({ code: 'custom', message: 'is wrong' });
      return value;
    });
    const parsed = listOf(element, 10).safeParse(['a', 'wrong', 'c', 'wrong']);
    expect(parsed.error?.issues).toMatchObject([{ path: [1], message: 'is wrong' }]);
    expect(read).toBe(2);
  });

  it('counts a list before it reads its elements', () => {
    expect(listOf(z.never(), 2).safeParse([1, 2, 3]).error?.issues).toMatchObject([{ code: 'too_big', maximum: 2 }]);
    expect(listOf(z.string(), 2, 1).safeParse([]).error?.issues).toMatchObject([{ code: 'too_small', minimum: 1 }]);
  });

  it('stops later steps at an unknown field of a closed object', () => {
    const schema = listOf(closed({ a: z.string() }), 2).transform((all) => all.map(({ a }) => a));
    expect(schema.safeParse([{ a: 'x', b: 1 }]).success).toBe(false);
    expect(schema.safeParse([{ a: 'x' }]).data).toEqual(['x']);
  });
});

it('fills requests up to the maximum size or number of values', () => {
  for (const [kind, text] of Object.entries(FILLINGS)) {
    expect([kind, text.length > 60_000 && text.length < LARGEST_BYTES]).toEqual([kind, true]);
  }
});
