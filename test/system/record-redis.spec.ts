/*
 * What a build writes to Redis can be recorded for the builds after it (version-before.spec.ts
 * reads such a recording).
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { RecordedRedis } from '../support/recorded-redis.js';

/**
 * Those that leave something behind which the other version finds. `claim-join` and
 * `claim-leave` are for turns whose entry or exit in one step was not possible.
 */
const WRITING = [
  ...['create', 'append', 'renew', 'cancel', 'owner-index', 'take', 'conversation-enter', 'conversation-exit'],
  ...['conversation-create', 'conversation-update', 'conversation-drop-item'],
];

it('records turns of every kind, with every script that writes, and what clients received', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-recorded-'));
  try {
    execFileSync('node', ['scripts/release/record-redis.mjs', folder], { encoding: 'utf8' });
    const recorded = new RecordedRedis(folder);
    const ends = Object.entries(recorded.received.turns).map(([name, { events }]) => [name, events.at(-1)?.type]);
    expect(Object.fromEntries(ends)).toEqual({
      ...{ tool: 'response.completed', 'tool-output': 'response.completed', said: 'response.completed' },
      ...{ refused: 'response.completed', alone: 'response.completed', continued: 'response.completed' },
      ...{ cancelled: 'response.incomplete', running: 'response.output_text.delta', waiting: 'response.queued' },
    });
    const scripts = new Set(recorded.commands.map(({ script }) => script));
    for (const script of WRITING) expect(scripts).toContain(script);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
