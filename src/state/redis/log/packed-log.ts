/*
 * The form of an ended log in Redis: blocks of 512 events, each their JSON lines, deflated, then
 * encrypted if the state is. Most of a log of deltas is repeated field names, so a block takes
 * about a tenth of its events.
 */

import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';
import { PLACES } from '../encryption/sealed-text.js';
import { type Sealer, type Vault } from '../encryption/vault.js';
import { BLOCK_EVENTS } from '../scripts.js';

/** The start of a block in the place of an event, whose JSON starts with a brace. */
const MARK = 'z1:';
/** Fast, and close to the best: field names repeat within a few hundred bytes. */
const LEVEL = 4;

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/** Returns the blocks of a whole log. @param events JSON of each event, from number 0 on */
export async function packEvents(responseId: string, events: readonly string[], sealer: Sealer): Promise<string[]> {
  const blocks: string[] = [];
  for (let first = 0; first < events.length; first += BLOCK_EVENTS) {
    const lines = events.slice(first, first + BLOCK_EVENTS).join('\n');
    const place = PLACES.block(responseId, blocks.length);
    blocks.push(MARK + sealer.bytes(place, await deflate(lines, { level: LEVEL })));
  }
  return blocks;
}

export function isBlock(entry: string): boolean {
  return entry.startsWith(MARK);
}

/** Which part of a packed log is read. */
export interface PackedPage {
  readonly responseId: string;
  /** The block of event `after + 1` and those behind it. */
  readonly blocks: readonly string[];
  readonly after: number;
  readonly limit: number;
}

/**
 * Returns the events after a cursor from the blocks that hold them.
 * @returns undefined if their data key was erased
 * @throws SluiceError if a block cannot be decrypted; Error if a block is damaged
 */
export async function unpackEvents(page: PackedPage, vault: Vault): Promise<string[] | undefined> {
  const { responseId, blocks, after, limit } = page;
  const first = Math.floor((after + 1) / BLOCK_EVENTS);
  const events: string[] = [];
  for (const [i, block] of blocks.entries()) {
    const deflated = await vault.openBytes(PLACES.block(responseId, first + i), block.slice(MARK.length));
    if (deflated === undefined) return undefined;
    events.push(...(await inflate(deflated)).toString('utf8').split('\n'));
  }
  const skipped = (after + 1) % BLOCK_EVENTS;
  return events.slice(skipped, skipped + limit);
}
