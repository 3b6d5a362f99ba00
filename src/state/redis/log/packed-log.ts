/*
 * The form of an ended log in Redis: blocks of 512 events, each their JSON lines, deflated. Most of
 * a log of deltas is repeated field names, so a block takes about a tenth of its events.
 */

import { promisify } from 'node:util';
import { deflateRaw, inflateRaw } from 'node:zlib';

/** Events of a block. pack.lua and read.lua number the blocks by it. Never changes. */
export const BLOCK_EVENTS = 512;

/** The start of a block in the place of an event, whose JSON starts with a brace. */
const MARK = 'z1:';
/** Fast, and close to the best: field names repeat within a few hundred bytes. */
const LEVEL = 4;

const deflate = promisify(deflateRaw);
const inflate = promisify(inflateRaw);

/** Returns the blocks of a whole log. @param events JSON of each event, from number 0 on */
export async function packEvents(events: readonly string[]): Promise<string[]> {
  const blocks: string[] = [];
  for (let first = 0; first < events.length; first += BLOCK_EVENTS) {
    const lines = events.slice(first, first + BLOCK_EVENTS).join('\n');
    // Base64, because replies of Redis are read as text.
    blocks.push(MARK + (await deflate(lines, { level: LEVEL })).toString('base64'));
  }
  return blocks;
}

export function isBlock(entry: string): boolean {
  return entry.startsWith(MARK);
}

/**
 * Returns the events after a cursor from the blocks that hold them.
 * @param blocks the block of event `after + 1` and those behind it
 * @throws Error if a block is damaged
 */
export async function unpackEvents(blocks: readonly string[], after: number, limit: number): Promise<string[]> {
  const events: string[] = [];
  for (const block of blocks) {
    const bytes = await inflate(Buffer.from(block.slice(MARK.length), 'base64'));
    events.push(...bytes.toString('utf8').split('\n'));
  }
  const skipped = (after + 1) % BLOCK_EVENTS;
  return events.slice(skipped, skipped + limit);
}
