/*
 * The promises, compared with what happened in the store and what clients saw. Each mistake found
 * is one line.
 */

import { isTerminal, type LoggedEvent, type ResponseEvent, type TerminalEvent } from '../../src/domain/event.js';
import { type StoredItem } from '../../src/domain/item.js';
import { type ResponseObject } from '../../src/domain/response.js';
import { type Known } from './clients.js';
import { type KnownResponse } from './recorder.js';
import { COST_USD } from './replica.js';
import { type World } from './world.js';

const MICROS = 1_000_000;

export async function checkPromises(world: World, known: Known): Promise<void> {
  for (const [responseId, response] of world.recorder.responses) {
    await checkResponse(world, known, responseId, response);
  }
  checkViewers(world, known);
  checkKeys(world, known);
  await checkConversations(world, known);
  checkCounters(world);
}

async function checkResponse(world: World, known: Known, id: string, response: KnownResponse): Promise<void> {
  const { recorder, store } = world;
  const terminals = response.events.filter(({ type }) => isTerminal(type));
  if (terminals.length > 1) recorder.violation(`${id} has ${terminals.length} terminals`);
  const [terminal] = terminals;
  if (terminal === undefined) {
    if (!response.deleted) recorder.violation(`${id} has no terminal`);
    return;
  }
  const reported = responseIn(terminal);
  checkKept(world, id, response, reported);
  const stored = await store.responses.get(id);
  if (known.deleted.has(id) && (await store.events.read(id, -1, 1)) !== undefined)
    recorder.violation(`${id} was deleted and has a log`);
  // A response that is deleted with its conversation may get its log after that. It is not stored
  // either.
  if (recorder.deletedResponses.has(id)) {
    if (stored !== undefined) recorder.violation(`${id} was deleted and is stored`);
  } else if (stored === undefined) {
    if (reported.store && !world.awayForLong.has('responses')) recorder.violation(`${id} is not stored`);
  } else if (world.awayForLong.has('responses') && reported.sluice.kept === 'nothing') {
    // KEEP-6: whether one of the tries was done, the turn cannot know. What is stored differs in
    // `kept` alone.
    const asReported = { ...stored.response, sluice: { ...stored.response.sluice, kept: reported.sluice.kept } };
    if (JSON.stringify(asReported) !== JSON.stringify(reported))
      recorder.violation(`${id} is stored as ${summary(stored.response)} and was reported as ${summary(reported)}`);
  } else if (JSON.stringify(stored.response) !== JSON.stringify(reported))
    recorder.violation(`${id} is stored as ${summary(stored.response)} and was reported as ${summary(reported)}`);
}

/** `kept` says what the conversation holds. */
function checkKept(
  { recorder, awayForLong }: World,
  id: string,
  { head }: KnownResponse,
  reported: ResponseObject,
): void {
  const { conversationId, input } = head;
  if (conversationId === null || recorder.deletedConversations.has(conversationId)) return;
  const held = (recorder.items.get(conversationId) ?? []).filter(({ responseId }) => responseId === id);
  const output = reported.output.filter(
    (item) => item.type !== 'message' || item.content.some((part) => part.type === 'output_text' && part.text !== ''),
  );
  const { kept } = reported.sluice;
  const whole = [...input.map(({ item }) => item), ...output];
  // KEEP-6: whether one of the tries was done, the turn cannot know. Its items are held together or
  // not at all.
  const unknown = kept === 'nothing' && awayForLong.has('conversations') && held.length > 0;
  const expected = kept === 'nothing' && !unknown ? [] : whole;
  if (idsOf(held) !== expected.map((item) => item.id).join())
    recorder.violation(
      `${id} says that it kept ${kept ?? 'null'} and its conversation holds ${held.length} of its items`,
    );
}

/**
 * Nothing lost or doubled: what a viewer has seen is the log, from its first event to its terminal.
 */
function checkViewers({ recorder }: World, { watching }: Known): void {
  for (const { responseId, seen, ending } of watching) {
    const response = recorder.responses.get(responseId);
    if (response === undefined) {
      recorder.violation(`a viewer follows ${responseId}, which never began`);
      continue;
    }
    if (seen.some((event, i) => event.json !== response.events[i]?.json))
      recorder.violation(`a viewer of ${responseId} saw other events than its log has`);
    if (ending === 'ended' && seen.length !== response.events.length)
      recorder.violation(`a viewer of ${responseId} ended after ${seen.length} of ${response.events.length} events`);
    if (ending === 'missing' && !response.deleted && !mayBeGone(response))
      recorder.violation(`a viewer was refused ${responseId} as missing`);
  }
}

function mayBeGone({ head, endedAt }: KnownResponse): boolean {
  return !head.store && endedAt !== undefined;
}

/** What is sent twice with one key runs once. */
function checkKeys({ recorder }: World, { byKey, inputByKey }: Known): void {
  for (const [key, responses] of byKey)
    if (responses.size > 1) recorder.violation(`${key} was answered with ${[...responses].join(' and ')}`);
  for (const [key, itemId] of inputByKey) {
    const ran = [...recorder.responses.values()].filter(
      ({ head, begunAt }) => begunAt !== undefined && head.input.at(-1)?.item.id === itemId,
    );
    if (ran.length > 1) recorder.violation(`${key} ran ${ran.length} times`);
  }
}

/**
 * A conversation holds each turn's items together, in the order in which the turns were committed.
 */
async function checkConversations({ recorder, store }: World, { addedItems }: Known): Promise<void> {
  for (const [id, items] of recorder.items) {
    const held = await store.conversations.recentItems(id, 500);
    if (idsOf(held) !== idsOf(items)) recorder.violation(`${id} does not hold what was committed to it`);
    const ids = items.map(({ item }) => item.id);
    if (new Set(ids).size !== ids.length) recorder.violation(`${id} holds an item twice`);
    for (const [itemId, conversationId] of addedItems)
      if (conversationId === id && !ids.includes(itemId)) recorder.violation(`${itemId} was added and is not held`);
  }
}

/** Where nothing went wrong, counters and budgets are what happened. */
function checkCounters(world: World): void {
  const { recorder, replicas } = world;
  for (const { counts, host, turns, hub } of replicas) {
    if (host.state === 'crashed') continue;
    for (const gauge of ['turns_in_flight', 'turns_waiting', 'viewers'])
      if (counts.of(gauge) !== 0) recorder.violation(`${host.name} counts ${counts.of(gauge)} ${gauge} at the end`);
    if (turns.count !== 0) recorder.violation(`${host.name} runs ${turns.count} turns at the end`);
    if (hub.size !== 0) recorder.violation(`${host.name} follows ${hub.size} responses at the end`);
  }
  const ended = [...recorder.responses.values()].filter(({ endedAt }) => endedAt !== undefined);
  if (!world.crashed) {
    const counted = ['success', 'error', 'cancelled', 'refused']
      .map((status) => replicas.reduce((sum, { counts }) => sum + counts.of(`requests_total ${status}`), 0))
      .reduce((sum, count) => sum + count, 0);
    if (counted !== ended.length) recorder.violation(`${ended.length} turns ended and ${counted} were counted`);
  }
  if (!world.calm) return;
  const takenOf = (name: string): number =>
    [...recorder.taken].reduce((sum, [key, amount]) => sum + (key.startsWith(`limit:${name}:`) ? amount : 0), 0);
  if (takenOf('requests') !== recorder.responses.size)
    recorder.violation(`${takenOf('requests')} requests were taken for ${recorder.responses.size} turns`);
  const costs = ended.map(({ events }) => responseOfLast(events).sluice.cost_usd ?? 0);
  const micros = costs.reduce((sum, cost) => sum + Math.ceil(cost * MICROS), 0);
  if (takenOf('cost') !== micros)
    recorder.violation(`${takenOf('cost') / MICROS} dollars were taken for ${micros / MICROS / COST_USD} paid turns`);
}

function responseOfLast(events: readonly LoggedEvent[]): ResponseObject {
  const newest = events.at(-1);
  if (newest === undefined) throw new Error('unable to read a response; there is no event');
  return responseIn(newest);
}

function responseIn({ json }: LoggedEvent): ResponseObject {
  // The log holds what `serialize` wrote; a terminal has a response.
  return (JSON.parse(json) as ResponseEvent & TerminalEvent).response;
}

function idsOf(items: readonly StoredItem[]): string {
  return items.map(({ item }) => item.id).join();
}

function summary({ status, sluice, output }: ResponseObject): string {
  return `${status}, kept ${sluice.kept ?? 'null'}, ${output.length} items`;
}
