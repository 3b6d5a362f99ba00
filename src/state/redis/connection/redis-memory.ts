/* Reads from INFO how full Redis is. */

import { type RedisCommands } from './redis-commands.js';

export interface RedisMemory {
  readonly usedBytes: number;
  /** 0 if the server has no limit. */
  readonly maxBytes: number;
}

/**
 * Returns the memory of the fullest server: the one with the largest share of its limit, or with
 * the most bytes if none has a limit.
 */
export async function memoryOf(commands: RedisCommands): Promise<RedisMemory> {
  const { client } = commands;
  const infos =
    'nodes' in client
      ? await Promise.all(client.nodes('master').map((node) => node.info('memory')))
      : [await commands.call('INFO', 'memory')];
  const all = infos.map((info) => parseMemory(String(info)));
  const [fullest = { usedBytes: 0, maxBytes: 0 }] = all.toSorted((a, b) => fullness(b) - fullness(a));
  return fullest;
}

function parseMemory(info: string): RedisMemory {
  const valueOf = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return { usedBytes: valueOf('used_memory'), maxBytes: valueOf('maxmemory') };
}

/** A server with a limit is fuller than any without. */
function fullness({ usedBytes, maxBytes }: RedisMemory): number {
  return maxBytes === 0 ? -1 / (1 + usedBytes) : usedBytes / maxBytes;
}
