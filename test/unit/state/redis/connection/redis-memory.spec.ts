/* How full Redis is, from what INFO says. */

import { expect, it } from '@jest/globals';
import { type RedisCommands } from '../../../../../src/state/redis/connection/redis-commands.js';
import { memoryOf } from '../../../../../src/state/redis/connection/redis-memory.js';

const info = (used: number, max: number) =>
  `# Memory\r\nused_memory:${used}\r\nused_memory_human:x\r\nmaxmemory:${max}\r\n`;
/** The part of a connection that is used here. */
const cluster = (...infos: string[]) =>
  ({
    client: { nodes: () => infos.map((text) => ({ info: () => Promise.resolve(text) })) },
  }) as unknown as RedisCommands;

it.each([
  ['the largest share of its limit', [info(10, 100), info(50, 60), info(80, 200)], { usedBytes: 50, maxBytes: 60 }],
  ['a limit, beside servers without', [info(900, 0), info(1, 100)], { usedBytes: 1, maxBytes: 100 }],
  ['the most bytes where none has a limit', [info(5, 0), info(7, 0)], { usedBytes: 7, maxBytes: 0 }],
  ['nothing readable', ['garbage'], { usedBytes: 0, maxBytes: 0 }],
])('takes the server with %s', async (_what, infos, memory) => {
  expect(await memoryOf(cluster(...infos))).toEqual(memory);
});
