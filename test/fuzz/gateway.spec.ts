/*
 * Structure-aware fuzzing of a running gateway: client events on a socket, bodies on every route,
 * and streams of a provider. Each is made from the wire's own schemas and then changed.
 */

import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { CHAT_REQUEST } from '../../src/protocol/chat/chat-requests.js';
import { SECRET_CREATE } from '../../src/protocol/client-secret-requests.js';
import {
  CONVERSATION_CREATE,
  CONVERSATION_UPDATE,
  ITEMS_CREATE,
} from '../../src/protocol/responses/conversation-requests.js';
import { RESPONSE_REQUEST } from '../../src/protocol/responses/requests.js';
import { ENVELOPE, EVENT_SCHEMAS } from '../../src/protocol/socket/client-events.js';
import { ROUTE_RULES } from '../../src/rest/route-rules.js';
import { type Frame, frameOf, isTerminalFrame, OPCODES } from '../support/raw-client.js';
import { fitting, mutating, namesIn, oddString, PLANTED } from './arbitraries.js';
import {
  ANSWER_WITHIN_MS,
  expectKnownAnswer,
  expectKnownError,
  fieldsIn,
  FuzzedGateway,
  naming,
  SERVER_KEY,
} from './fuzzed-gateway.js';
import { Fields, textOf, type Tree } from './json-tree.js';
import { casesOf, fuzz, withinMs } from './runs.js';

/** Codes that the gateway itself or its request to the provider would have to cause. */
const NEVER = new Set(['server_error', 'provider_refused', 'provider_error', 'replica_lost', 'state_unavailable']);

let gateway: FuzzedGateway;
let samples: readonly string[];
beforeAll(async () => {
  gateway = await FuzzedGateway.start();
  samples = [...gateway.ids, `${PLANTED} text`, `resp_${'0'.repeat(32)}`, 'ann', 'lane', 'fake-model', SERVER_KEY];
});
afterAll(async () => {
  // Every turn has ended: the drain aborts none.
  expect(await gateway.close()).toBe(0);
});

/** A body or frame as bytes: JSON text, and text that was cut, doubled or broken. */
function wireText(tree: fc.Arbitrary<Tree>): fc.Arbitrary<string | Uint8Array> {
  const breaking = fc.tuple(tree, fc.nat(), fc.nat(5)).map(([one, at, how]) => {
    const bytes = Buffer.from(textOf(one));
    const cut = bytes.length === 0 ? 0 : at % bytes.length;
    if (how === 0) return bytes.subarray(0, cut);
    if (how === 1) return Buffer.concat([bytes, bytes]);
    if (how === 2) return Buffer.concat([Buffer.from('\ufeff'), bytes]);
    const odd = how === 3 ? [0xff, 0xfe] : how === 4 ? [0xed, 0xa0, 0x80] : [0];
    return Buffer.concat([bytes.subarray(0, cut), Buffer.from(odd), bytes.subarray(cut)]);
  });
  return fc.oneof({ weight: 12, arbitrary: tree.map(textOf) }, { weight: 1, arbitrary: breaking });
}

describeEvents();
describeBodies();

function describeEvents(): void {
  const cases = casesOf('events', 200);

  function events(): fc.Arbitrary<string | Uint8Array> {
    const request = fitting(RESPONSE_REQUEST, samples);
    const envelope = fitting(ENVELOPE, samples);
    const create = fc
      .tuple(envelope, request)
      .map(([outer, inner]) => new Fields([['type', 'response.create'], ...fieldsOf(outer), ...fieldsOf(inner)]));
    const others = Object.entries(EVENT_SCHEMAS).map(([type, schema]) =>
      fitting(schema, samples).map((tree) => new Fields([['type', type], ...fieldsOf(tree)])),
    );
    const names = [...namesIn(RESPONSE_REQUEST), ...namesIn(ENVELOPE), 'type', 'token'];
    const one = fc.oneof({ weight: others.length * 2, arbitrary: create }, ...others);
    return wireText(mutating(one, names));
  }

  it(
    'answers every client event, or closes with a documented code [WS-4, WS-5, ERR-1]',
    () =>
      fuzz('events', cases, events(), async (batch) => {
        await naming(batch.map(String), () => answersAll(batch));
        await gateway.expectNormalTurn();
        gateway.expectHealthy();
      }),
    withinMs(cases),
  );
}

/** Codes that a client's own frames may cause (PROTOCOL.md, section 5). */
const CLOSES: ReadonlySet<number> = new Set([1003, 1007, 1008, 1009]);

/** Sends frames on one socket, and waits until each is answered and each turn has ended. */
async function answersAll(batch: readonly (string | Uint8Array)[]): Promise<void> {
  const socket = new WebSocket(gateway.process.socketUrl, batch.length % 2 === 0 ? ['sluice.v1'] : [], {
    headers: { authorization: `Bearer ${SERVER_KEY}` },
    perMessageDeflate: false,
  });
  const frames: Frame[] = [];
  await once(socket, 'open');
  const closed = once(socket, 'close');
  for (const frame of batch) {
    // Bytes may be no UTF-8, which the library would not send as text.
    if (typeof frame === 'string') socket.send(frame);
    else wireOf(socket).write(frameOf(OPCODES.text, Buffer.from(frame)));
  }
  socket.send('{"type":"sluice:ping","id":"the last"}');
  const counts = { answers: 0, created: 0, ended: 0, pong: false };
  // A cancel is answered by the end of what it cancels, if the client follows it (CAN-3).
  const expected = batch.filter((frame) => !String(frame).includes('response.cancel')).length;
  const settled = new Promise<void>((resolve, reject) => {
    socket.on('message', (data: Buffer) => {
      try {
        const frame = frameIn(data);
        frames.push(frame);
        count(frame, counts);
      } catch (thrown) {
        reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
      if (counts.pong && counts.answers >= expected && counts.ended >= counts.created) resolve();
    });
  });
  const limit = timeLimit(
    () => `no answer: ${JSON.stringify(counts)}, ${expected} expected; ${JSON.stringify(frames)}`,
  );
  const end = await Promise.race([settled, closed, limit.late]).finally(limit.stop);
  if (end !== undefined && !CLOSES.has(Number(end[0]))) throw new Error(`closed with ${String(end[0])}`);
  socket.terminate();
}

const ANSWERS: ReadonlySet<string> = new Set([
  ...['error', 'response.created', 'response.steer.failed', 'sluice:cancelled', 'sluice:resumed'],
  ...['sluice:subscribed', 'sluice:unsubscribed', 'sluice:authenticated', 'sluice:pong'],
]);

function count(frame: Frame, counts: { answers: number; created: number; ended: number; pong: boolean }): void {
  if (frame.type === 'sluice:pong' && frame['id'] === 'the last') counts.pong = true;
  else if (ANSWERS.has(frame.type)) counts.answers += 1;
  if (frame.type === 'response.created') counts.created += 1;
  if (isTerminalFrame(frame)) counts.ended += 1;
  if (frame.type === 'error') expectKnownError(frame['error'], frame['status'], NEVER);
  if (frame.type === 'response.failed') {
    const { response } = frame as unknown as { readonly response: { readonly error: { readonly code: string } } };
    if (NEVER.has(response.error.code)) throw new Error(`a turn failed: ${JSON.stringify(response.error)}`);
  }
}

/** The frame of the gateway: an object with a type. */
const frameIn = (data: Buffer): Frame => fieldsIn(data.toString()) as Frame;

/** The connection under the socket, which is private in `ws`. */
const wireOf = (socket: WebSocket): NodeJS.WritableStream =>
  (socket as unknown as { readonly _socket: NodeJS.WritableStream })._socket;

function timeLimit(what: () => string): { readonly late: Promise<undefined>; readonly stop: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(what().slice(0, 4_000))), ANSWER_WITHIN_MS);
  });
  return { late, stop: () => clearTimeout(timer) };
}

const fieldsOf = (tree: Tree): readonly (readonly [string, Tree])[] => (tree instanceof Fields ? tree.entries : []);

function describeBodies(): void {
  const cases = casesOf('bodies', 200);
  /** The schema of each route with a body. A new route fails here until it has one. */
  const BODIES: Readonly<Record<string, z.core.$ZodType>> = {
    'POST /v1/responses': RESPONSE_REQUEST,
    'POST /v1/responses/compact': RESPONSE_REQUEST,
    'POST /v1/responses/input_tokens': RESPONSE_REQUEST,
    'POST /v1/responses/:id/cancel': z.strictObject({}),
    'POST /v1/chat/completions': CHAT_REQUEST,
    'POST /v1/conversations': CONVERSATION_CREATE,
    'POST /v1/conversations/:id': CONVERSATION_UPDATE,
    'POST /v1/conversations/:id/items': ITEMS_CREATE,
    'POST /v1/client_secrets': SECRET_CREATE,
    'POST /v1/users/:user/revoke': z.strictObject({}),
  };
  const QUERY = [
    'stream',
    'starting_after',
    'limit',
    'after',
    'order',
    'include',
    'include[]',
    'responses',
    'on_disconnect',
  ];
  const HEADERS = ['idempotency-key', 'sluice-user', 'last-event-id', 'traceparent', 'x-request-id', 'content-type'];

  interface Case {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string | Uint8Array | undefined;
  }

  function requests(): fc.Arbitrary<Case> {
    const value = fc.oneof(fc.constantFrom('true', '1', '5', 'asc', 'cancel', 'x', ...samples), oddString);
    const query = fc.array(fc.tuple(fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...QUERY) }, oddString), value), {
      maxLength: 2,
    });
    const headers = fc.array(fc.tuple(fc.constantFrom(...HEADERS), value), { maxLength: 1 });
    return fc.oneof(
      ...Object.keys(ROUTE_RULES).map((route) => {
        const [method = '', template = ''] = route.split(' ');
        const schema = BODIES[route];
        if (schema === undefined && method === 'POST') throw new Error(`${route} has no schema; add it to BODIES`);
        const body = schema === undefined ? fc.constant(undefined) : bodyOf(schema);
        const segment = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...samples) }, oddString);
        return fc.tuple(segment, segment, query, headers, body).map(([one, two, pairs, fields, sent]) => ({
          method,
          path: `${template.replace(/:id|:user/u, inUrl(one)).replace(':item', inUrl(two))}${queryText(pairs)}`,
          headers: Object.fromEntries(fields.map(([name, text]) => [name, inHeader(text)])),
          body: sent,
        }));
      }),
    );
  }

  const bodyOf = (schema: z.core.$ZodType) => wireText(mutating(fitting(schema, samples), namesIn(schema)));

  it(
    'answers every body, query and path of every route with a status and shape of PROTOCOL.md [ERR-1, ERR-4, REST-2]',
    () =>
      fuzz('bodies', cases, requests(), async (batch) => {
        await Promise.all(
          batch.map((one) =>
            naming({ ...one, body: String(one.body) }, async () => {
              const { body, ...head } = one;
              expectKnownAnswer(await gateway.http(body === undefined ? head : { ...head, body }), NEVER);
            }),
          ),
        );
        await gateway.expectNormalTurn();
        gateway.expectHealthy();
      }),
    withinMs(cases),
  );
}

/** A text as a part of a path or query; a URL that is too long is refused by Node itself. */
const inUrl = (text: string): string => encodeURIComponent(text.toWellFormed().slice(0, 1_000));
const queryText = (pairs: readonly (readonly [string, string])[]): string =>
  pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${inUrl(name)}=${inUrl(value)}`).join('&')}`;
/** A client library sends nothing else in a header. */
const inHeader = (text: string): string => text.replace(/[^\x21-\x7e\x80-\xff]/gu, '-').slice(0, 1_000);
