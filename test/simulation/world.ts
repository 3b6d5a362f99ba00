/*
 * Everything of one schedule: the replicas on one store, their faults, and the way clients reach
 * them.
 */

import { memoryState } from '../../src/state/memory/memory-state.js';
import { type State } from '../../src/state/state.js';
import { Network, type Weather } from './network.js';
import { Random } from './random.js';
import { Recorder } from './recorder.js';
import { type MakeContexts, Replica } from './replica.js';
import { Host, Scheduler } from './scheduler.js';

/** What a client gets when its replica is gone, or says nothing for too long. */
export class Gone extends Error {}

export interface WorldOptions {
  readonly seed: number;
  readonly onEvent?: (line: string) => void;
  /** Puts a mistake into the store, to show that it is found. */
  readonly mutate?: (state: State) => State;
  /** Puts a mistake into what a turn leaves behind. */
  readonly contexts?: MakeContexts;
}

const CALM: Weather = { lostRequest: 0, lostReply: 0, repeat: 0, late: 0, lostMessage: 0, delayMs: 5 };
const CLIENT_PATIENCE_MS = 25_000;
const TTL_MS = 24 * 60 * 60_000;

export class World {
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly recorder: Recorder;
  /** The store itself, without a network. */
  readonly store: State;
  readonly replicas: readonly Replica[];
  /** No fault of any kind: counters and budgets are exact. */
  readonly calm: boolean;
  crashed = false;
  /** Stores that did not answer a replica for about as long as a turn waits for them. */
  readonly awayForLong = new Set<string>();
  /** What clients have begun and not ended. */
  busy = 0;
  #healed = false;
  readonly #pending = new Map<Replica, Set<() => void>>();

  constructor({ seed, onEvent, mutate = (state) => state, contexts }: WorldOptions) {
    this.random = new Random(seed);
    this.scheduler = new Scheduler(this.random.fork(), onEvent);
    this.recorder = new Recorder(this.scheduler);
    this.calm = this.random.chance(0.2);
    const time = this.scheduler.timeOf(new Host('store'));
    this.store = this.recorder.observe(mutate(memoryState({ ttlMs: TTL_MS, maxItems: 500, time })));
    const weather = this.calm ? CALM : this.#weather();
    const endsInSteps = this.random.chance(0.5);
    this.replicas = Array.from({ length: this.random.pick([2, 2, 3]) }, (_, i) => {
      const host = new Host(`r${i}`);
      const network = new Network(this.scheduler, this.random.fork(), host, weather);
      network.endsInSteps = endsInSteps;
      network.onLongSilence = (store) => this.awayForLong.add(store);
      return new Replica({
        host,
        network,
        time: this.scheduler.timeOf(host),
        state: this.store,
        random: this.random.fork(),
        recorder: this.recorder,
        ...(contexts === undefined ? {} : { contexts }),
      });
    });
    if (!this.calm) for (const replica of this.replicas) this.#plan(replica);
  }

  /**
   * A replica that a load balancer would choose: it may be paused or cut off, but is not known to
   * have crashed.
   */
  anyReplica(): Replica {
    const up = this.replicas.filter(({ host }) => host.state !== 'crashed');
    return up[this.random.below(up.length)] ?? this.#first();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.scheduler.post(null, ms, '', resolve));
  }

  /**
   * Calls `work` on a replica as a client does.
   * @throws Gone when the replica crashes or is silent for too long
   */
  request<T>(replica: Replica, label: string, work: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const gone = (): void => {
      over();
      this.scheduler.post(null, this.random.between(1, 50), `client loses ${label}`, () => reject(new Gone(label)));
    };
    const patience = this.scheduler.post(null, CLIENT_PATIENCE_MS, '', gone);
    const pending = this.#pendingOf(replica);
    const over = (): void => {
      patience();
      pending.delete(gone);
    };
    const reply = (what: () => void): void => {
      if (!pending.has(gone)) return;
      over();
      this.scheduler.post(null, this.random.between(0.1, 20), `reply to ${label}`, what);
    };
    pending.add(gone);
    if (replica.host.state === 'crashed') gone();
    this.scheduler.post(replica.host, this.random.between(0.1, 20), label, () => {
      work().then(
        (value) => reply(() => resolve(value)),
        (error: unknown) => reply(() => reject(error as Error)),
      );
    });
    return promise;
  }

  /** Calls `lost` when the replica crashes. Returns what takes that back. */
  onCrash(replica: Replica, lost: () => void): () => void {
    const pending = this.#pendingOf(replica);
    pending.add(lost);
    return () => pending.delete(lost);
  }

  /** Counts work of a client that must come to an end. */
  doing(work: Promise<void>): void {
    this.busy += 1;
    work
      .catch((bug: unknown) =>
        this.recorder.violation(`a client failed: ${bug instanceof Error ? (bug.stack ?? '') : ''}`),
      )
      .finally(() => (this.busy -= 1));
  }

  /**
   * Ends all faults: resumes paused replicas, reconnects cut ones, and loses no further request.
   */
  heal(): void {
    this.scheduler.note(() => 'HEALED');
    this.#healed = true;
    for (const { host, network } of this.replicas) {
      if (host.state === 'paused') host.state = 'up';
      network.clearUp(CALM);
    }
  }

  #first(): Replica {
    const [first] = this.replicas;
    if (first === undefined) throw new Error('unable to choose a replica; there is none');
    return first;
  }

  #pendingOf(replica: Replica): Set<() => void> {
    const known = this.#pending.get(replica) ?? new Set();
    this.#pending.set(replica, known);
    return known;
  }

  #weather(): Weather {
    const { random } = this;
    const some = (most: number): number => (random.chance(0.5) ? 0 : random.between(0, most));
    return {
      lostRequest: some(0.1),
      lostReply: some(0.15),
      repeat: some(0.2),
      late: some(0.06),
      lostMessage: some(0.3),
      delayMs: random.pick([2, 10, 80, 400]),
    };
  }

  /** Schedules the faults of a replica. */
  #plan(replica: Replica): void {
    const { random } = this;
    const { host, network } = replica;
    // Long enough for its place in the queue to be taken away before its log begins.
    if (random.chance(0.15)) {
      network.afterJoin = () => {
        this.#fault(
          0,
          `PAUSES ${host.name} after its join`,
          () => (host.state = host.state === 'up' ? 'paused' : host.state),
        );
        this.#fault(random.between(8_000, 11_500), `RESUMES ${host.name}`, () => {
          if (host.state === 'paused') host.state = 'up';
        });
      };
    }
    for (let fault = random.below(4); fault > 0; fault--) {
      const atMs = random.between(0, random.pick([200, 3_000, 15_000]));
      const forMs = random.pick([random.between(5, 500), random.between(500, 5_000), random.between(7_000, 20_000)]);
      switch (random.pick(['pause', 'pause', 'cut', 'cut', 'away', 'stall', 'clock', 'crash'])) {
        case 'pause':
          this.#fault(atMs, `PAUSES ${host.name}`, () => {
            if (host.state === 'up') host.state = 'paused';
          });
          this.#fault(atMs + forMs, `RESUMES ${host.name}`, () => {
            if (host.state === 'paused') host.state = 'up';
          });
          break;
        case 'cut':
          this.#fault(atMs, `CUTS ${host.name}`, () => network.cut());
          this.#fault(atMs + forMs, `HEALS ${host.name}`, () => network.heal());
          break;
        case 'away': {
          const store = random.pick(['responses', 'conversations', 'claim', 'keys']);
          const long = random.chance(0.3) ? 45_000 : forMs;
          this.#fault(atMs, `LOSES ${store} of ${host.name}`, () => network.lose(store));
          this.#fault(atMs + long, `REGAINS ${store} of ${host.name}`, () => network.regain(store));
          break;
        }
        case 'stall': {
          const store = random.pick(['conversations', 'conversations', 'claim', 'responses']);
          this.#fault(atMs, `STALLS ${store} of ${host.name}`, () => network.stall(store));
          this.#fault(atMs + forMs, `MOVES ${store} of ${host.name}`, () => network.unstall(store));
          break;
        }
        case 'clock': {
          const jumpMs = random.pick([-3_600_000, 3_600_000]);
          this.#fault(atMs, `SETS CLOCK of ${host.name} by ${jumpMs}`, () => (host.skewMs += jumpMs));
          break;
        }
        case 'crash':
          if (random.chance(0.5)) this.#fault(atMs, `CRASHES ${host.name}`, () => this.#crash(replica));
          break;
      }
    }
  }

  #fault(atMs: number, label: string, strike: () => void): void {
    this.scheduler.post(null, atMs, label, () => {
      if (!this.#healed) strike();
    });
  }

  /** One replica always survives, so that there is an end to everything. */
  #crash(replica: Replica): void {
    if (this.replicas.filter(({ host }) => host.state !== 'crashed').length < 2) return;
    if (replica.host.state === 'crashed') return;
    this.crashed = true;
    this.scheduler.crash(replica.host);
    for (const lost of [...this.#pendingOf(replica)]) lost();
  }
}
