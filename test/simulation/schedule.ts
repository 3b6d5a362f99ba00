/*
 * One schedule from one seed: what clients do, what goes wrong, and whether every promise was kept.
 */

import { ALICE, ORIGIN, requestOf } from '../unit/turn/turn-harness.js';
import { Client, type Known } from './clients.js';
import { checkPromises } from './promises.js';
import { SocketClient } from './socket-client.js';
import { World, type WorldOptions } from './world.js';

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  /** Events that were run. */
  readonly steps: number;
  readonly turns: number;
}

export type ScheduleOptions = Omit<WorldOptions, 'seed'>;

/** By then clients have done what they wanted, or are in the midst of trying. */
const STORM_MS = 60_000;
/** From then on nothing is faulty any more, and everything has to come to rest within this time. */
const REST_MS = 120_000;
const SETTLE_MS = 3_000;
const LATE_MS = 15_000;

export async function runSchedule(seed: number, options: ScheduleOptions = {}): Promise<Outcome> {
  const world = new World({ seed, ...options });
  const { scheduler, recorder, random } = world;
  const known: Known = {
    watching: [],
    byKey: new Map(),
    inputByKey: new Map(),
    deleted: new Set(),
    addedItems: new Map(),
  };
  const conversations = Array.from({ length: random.pick([1, 1, 2]) }, (_, i) => `conv_${i}`);
  for (const id of conversations)
    await world.store.conversations.create({ id, owner: ALICE.owner, createdAt: 0, updatedAt: 0, metadata: {} }, []);
  for (let i = random.pick([1, 2, 2, 3]); i > 0; i--)
    world.doing(new Client(world, `c${i}`, conversations, known).act(1 + random.below(4)));

  const sockets = Array.from({ length: random.below(3) }, () => new SocketClient(world, conversations[0] ?? ''));
  for (const socket of sockets) world.doing(socket.act());

  await scheduler.run(() => world.busy === 0, STORM_MS);
  world.heal();
  if (!(await scheduler.run(() => atRest(world), scheduler.now + REST_MS))) recorder.violation(unrest(world));
  // What a replica had given up on may still arrive.
  await scheduler.run(() => false, scheduler.now + LATE_MS);
  if (!(await scheduler.run(() => atRest(world), scheduler.now + REST_MS))) recorder.violation(unrest(world));
  const probes = await probe(world, conversations);
  // What was done is counted when its reply has come.
  await scheduler.run(() => false, scheduler.now + SETTLE_MS);
  for (const socket of sockets) socket.check(probes.get(socket.conversation));
  for (const socket of sockets) socket.close();
  await scheduler.run(() => false, scheduler.now + SETTLE_MS);
  await checkPromises(world, known);
  return { seed, violations: recorder.violations, steps: scheduler.steps, turns: recorder.responses.size };
}

/**
 * Every conversation that is left takes one more turn, which ends.
 * @returns these turns, by conversation
 */
async function probe(world: World, conversations: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const probes = new Map<string, string>();
  const { recorder, scheduler } = world;
  for (const conversation of conversations) {
    if (recorder.deletedConversations.has(conversation)) continue;
    const replica = world.anyReplica();
    let id: string | undefined;
    world.doing(
      (async () => {
        const request = requestOf(`probe-${conversation}`, { conversation });
        const created = await world.request(replica, `probe ${conversation}`, () =>
          replica.turns.create(ALICE, request, ORIGIN),
        );
        id = created.responseId;
      })(),
    );
    await scheduler.run(() => world.busy === 0 && atRest(world), scheduler.now + REST_MS);
    if (id === undefined || recorder.responses.get(id)?.endedAt === undefined)
      recorder.violation(`${conversation} takes no more turns`);
    if (id !== undefined) probes.set(conversation, id);
  }
  return probes;
}

function atRest({ busy, replicas, recorder }: World): boolean {
  if (busy > 0) return false;
  for (const { host, turns, hub } of replicas)
    if (host.state !== 'crashed' && (turns.count > 0 || hub.size > 0)) return false;
  for (const { endedAt, deleted } of recorder.responses.values()) if (endedAt === undefined && !deleted) return false;
  return true;
}

function unrest({ busy, replicas, recorder }: World): string {
  const running = replicas.map(({ host, turns, hub }) => `${host.name} ${host.state} ${turns.count}/${hub.size}`);
  const open = [...recorder.responses].filter(([, { endedAt, deleted }]) => endedAt === undefined && !deleted);
  return `never comes to rest: ${busy} clients, ${running.join(', ')}, open ${open.map(([id]) => id).join()}`;
}
