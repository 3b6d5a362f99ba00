/*
 * Eight sockets of one client that never read, against a gateway in a process of its own: what they
 * cost in memory.
 */

import { readFileSync } from 'node:fs';
import { afterEach, expect, it } from '@jest/globals';
import { FakeOpenAiServer, textAnswer } from '../support/fake-openai-server.js';
import { type Frame, RawClient } from '../support/raw-client.js';
import { Replica } from '../../scripts/development/cluster/replica.js';

const MIB = 1_048_576;
const CLIENTS = 8;
/** Pause between two resumes of a client, so that one is answered before the next replaces it. */
const RESUME_EVERY_MS = 10;
const OUTBOUND_BYTES = MIB;
const PIECE = 'x'.repeat(1_024);
/** Enough events for a snapshot in place of a replay, also where a busy machine joins six. */
const PIECES = 1_600;
/** Most bytes handed to a socket at once. */
const SLICE_BYTES = 256 * 1_024;
/** What a collector may leave for later, whatever is held. */
const SLACK_BYTES = 64 * MIB;

let provider: FakeOpenAiServer;
let gateway: Replica;
afterEach(async () => {
  await gateway.close();
  await provider.close();
});

function rssOf({ pid }: Replica): number {
  const kb = /^VmRSS:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kb) * 1_024;
}

it('bounds the memory of eight sockets that request snapshots and never read [WS-14]', async () => {
  const answer = textAnswer(
    Array.from({ length: PIECES }, () => PIECE),
    { intervalMs: 1 },
  );
  provider = await FakeOpenAiServer.start({
    steps: 'steps' in answer ? [...answer.steps].slice(0, -3).concat([{ hang: true }]) : [],
  });
  gateway = await Replica.start(
    'gateway',
    {
      provider: { type: 'openai', model: 'gpt-4o-mini', base_url: provider.baseUrl },
      middleware: { template: { enabled: false } },
      websocket: { outbound_buffer_bytes: OUTBOUND_BYTES, slow_reader_timeout: '2s' },
      limits: { per_user: { operations_per_minute: 1_000_000 } },
      batch: { max_window: '0ms' },
    },
    { ...process.env, OPENAI_API_KEY: 'test' },
  );
  // Without snapshots: one would take the place of deltas that are counted here, if this process
  // fell behind.
  const reader = await RawClient.open(gateway.socketUrl);
  reader.send({ type: 'response.create', input: 'Hi' });
  const isDelta = (frame: Frame): boolean => frame.type === 'response.output_text.delta';
  let text = 0;
  const seen = await reader.take(
    (frame) => isDelta(frame) && (text += String(frame['delta']).length) === PIECES * PIECE.length,
  );
  const { id } = seen.find(({ type }) => type === 'response.created')?.['response'] as { readonly id: string };
  expect(seen.length).toBeGreaterThan(256);

  // The first snapshot warms up what is allocated once.
  const first = await RawClient.open(gateway.socketUrl, { query: 'snapshots=1' });
  first.send({ type: 'sluice:resume', response_id: id });
  await first.until('sluice:snapshot');
  const before = rssOf(gateway);
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => RawClient.open(gateway.socketUrl, { query: 'snapshots=1' })),
  );
  for (const client of clients) {
    await client.until('sluice:hello');
    client.socket.pause();
  }
  let most = 0;
  let resumes = 0;
  // Each is closed once it has taken nothing for the slow-reader timeout, so its buffers are as
  // full as they get before that.
  while ((await gateway.metric('slow_readers_total')) < CLIENTS) {
    most = Math.max(most, rssOf(gateway));
    for (const { socket } of clients) {
      if (socket.readyState !== socket.OPEN) continue;
      socket.send(JSON.stringify({ type: 'sluice:resume', response_id: id }));
      resumes += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, RESUME_EVERY_MS));
  }

  const snapshotBytes = PIECES * PIECE.length;
  const held = CLIENTS * (OUTBOUND_BYTES + snapshotBytes + SLICE_BYTES);
  expect(most - before).toBeLessThan(2 * held + SLACK_BYTES);
  // The rest of the frames were never handled: the bound of the process, not the kernel's, stopped
  // the snapshots.
  expect(await gateway.metric('snapshots_total')).toBeLessThan(resumes / 2);
  for (const client of [reader, first, ...clients]) client.socket.terminate();
});
