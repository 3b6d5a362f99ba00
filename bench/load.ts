/*
 * The load generator: many clients in a separate process, whose CPU is not measured. Runs the
 * conductor's commands and counts what arrives.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { machineMs } from './lib/clock.js';
import { type Client, openClient } from './lib/clients.js';
import { answerQuestions, type LoadPlan, type Target } from './lib/ipc.js';
import { Tally, TextProbe } from './lib/text-probe.js';

const CONNECT_AT_ONCE = 50;
/** Streams begin within this time, at even distances. */
const RAMP_MS = 1_000;

const tally = new Tally();
let clients: Client[] = [];
let stopped = true;

async function open(targets: readonly Target[], count: number, conversations = false): Promise<void> {
  stopped = false;
  while (clients.length < count) {
    const opened = await Promise.all(
      Array.from({ length: Math.min(CONNECT_AT_ONCE, count - clients.length) }, (_, i) =>
        openClient(atTurn(targets, clients.length + i), conversations),
      ),
    );
    clients.push(...opened);
  }
}

function atTurn<T>(all: readonly T[], turn: number): T {
  const one = all[turn % all.length];
  if (one === undefined) throw new Error('unable to connect; there is no target');
  return one;
}

function respond(client: Client, deltas: number, then: () => void): void {
  const probe = new TextProbe(tally);
  const askedAt = machineMs();
  let spoken = false;
  client.create(deltas, {
    onText: (delta) => {
      const now = machineMs();
      if (!spoken) {
        spoken = true;
        tally.firstDeltaMs.push(now - askedAt);
      }
      probe.push(delta, now);
    },
    onEnd: (ok, why) => {
      if (ok) tally.responses += 1;
      else tally.fail(why);
      if (!stopped) then();
    },
  });
}

/**
 * First responses are of different lengths, so that later ones begin at different times, as on any
 * busy day.
 */
async function stream({ deltas, streams, targets, conversations }: LoadPlan): Promise<void> {
  await open(targets, streams, conversations);
  // More are open after `idle`.
  for (const [i, client] of clients.slice(0, streams).entries()) {
    const again = (): void => respond(client, deltas, again);
    respond(client, Math.max(1, Math.ceil((deltas * (i + 1)) / streams)), again);
    await sleep(RAMP_MS / streams);
  }
}

/** All responses are requested in one round of this process's event loop. */
async function burst({ deltas, streams, targets }: LoadPlan): Promise<void> {
  await open(targets, streams);
  await Promise.all(clients.map((client) => new Promise<void>((resolve) => respond(client, deltas, resolve))));
}

async function fanOut(targets: readonly Target[], viewers: number, deltas: number): Promise<void> {
  await open(targets, viewers + 1);
  const [creator, ...watchers] = clients;
  if (creator === undefined) return;
  const id = await new Promise<string>((resolve, reject) =>
    creator.create(deltas, {
      onId: resolve,
      onText: () => undefined,
      onEnd: () => reject(new Error('the response ended at once')),
    }),
  );
  // A system may need a moment between a response's name and its stream.
  await sleep(200);
  for (const [i, watcher] of watchers.entries()) {
    const probe = new TextProbe(tally);
    watcher.watch(id, {
      onText: (delta) => probe.push(delta, machineMs()),
      onEnd: (ok) => {
        if (!ok && !stopped) tally.failures += 1;
      },
    });
    if (i % CONNECT_AT_ONCE === 0) await sleep(10);
  }
}

answerQuestions({
  streams: async ({ plan }) => {
    tally.reset();
    await stream(plan);
    return null;
  },
  burst: async ({ plan }) => {
    await burst(plan);
    return null;
  },
  idle: async ({ targets, connections }) => {
    await open(targets, connections);
    return null;
  },
  fanout: async ({ targets, viewers, deltas }) => {
    tally.reset();
    await fanOut(targets, viewers, deltas);
    return null;
  },
  reset: () => {
    tally.reset();
    return null;
  },
  tally: () => ({ ...tally }),
  stop: () => {
    stopped = true;
    for (const client of clients) client.close();
    clients = [];
    return null;
  },
});
// Its work is to be asked.
process.channel?.ref();
