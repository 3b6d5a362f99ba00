/* How long memory keeps what each class of credential has created. */

import { expect, it } from '@jest/globals';
import { type ResponseObject } from '../../../../src/domain/response.js';
import { memoryState } from '../../../../src/state/memory/memory-state.js';
import { delta, headOf, terminal } from '../../../contract/suites/log-fixtures.js';
import { HandTime } from '../../../support/hand-time.js';

const MINUTE_MS = 60_000;

function stateOf() {
  const time = new HandTime();
  const state = memoryState({ ttlMs: 60 * MINUTE_MS, ttlOfClass: { brief: 2 * MINUTE_MS }, maxItems: 10, time });
  return { time, ...state };
}
const conversation = { id: 'conv_1', owner: 'shop/ann', createdAt: 1, updatedAt: 1, metadata: {} };
// The store does not read the content of a response.
const response = { id: 'resp_1', object: 'response' } as ResponseObject;

it.each([
  [undefined, 60],
  ['unlisted', 60],
  ['brief', 2],
])('keeps conversations and responses of the class %j for its time after the last use', async (name, minutes) => {
  const { time, conversations, responses, close } = stateOf();
  const ofClass = name === undefined ? {} : { limitsClass: name };
  const stored = { owner: 'shop/ann', response, input: [], context: [], terminalSequence: 3, ...ofClass };
  await conversations.create({ ...conversation, ...ofClass }, []);
  await responses.put(stored);
  for (let use = 0; use < 3; use += 1) {
    time.pass(minutes * MINUTE_MS - 1);
    expect([await conversations.get('conv_1'), await responses.get('resp_1')]).not.toContain(undefined);
  }
  await conversations.updateMetadata('conv_1', { a: 'b' });
  time.pass(minutes * MINUTE_MS - 1);
  expect(await conversations.get('conv_1')).toBeDefined();
  time.pass(minutes * MINUTE_MS);
  expect([await conversations.get('conv_1'), await responses.get('resp_1')]).toEqual([undefined, undefined]);
  await close();
});

it.each([
  [{}, 10],
  [{ limitsClass: 'brief' }, 2],
  [{ store: false }, 1],
  [{ store: false, limitsClass: 'brief' }, 1],
])('keeps the events of an ended response with %j for %i minutes, and no byte after that', async (fields, minutes) => {
  const { time, events, keptBytes, close } = stateOf();
  const head = headOf(fields);
  const { fence } = await events.createWith(head, [delta(0)]);
  await events.append(head.responseId, fence, [terminal(1)]);
  time.pass(minutes * MINUTE_MS - 1);
  expect((await events.read(head.responseId, -1, 10))?.events).toHaveLength(2);
  expect(keptBytes()).toBeGreaterThan(0);
  // The sweep runs every 30 s.
  time.pass(MINUTE_MS / 2 + 1);
  expect(keptBytes()).toBe(0);
  expect(await events.read(head.responseId, -1, 10)).toBeUndefined();
  await close();
});
