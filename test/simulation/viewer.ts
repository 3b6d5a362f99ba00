/*
 * A client that follows one response from its first event to its terminal, on one replica after
 * another, and checks each event.
 */

import { SluiceError } from '../../src/domain/errors.js';
import { isTerminal, type LoggedEvent } from '../../src/domain/event.js';
import { type Viewer } from '../../src/state/follow/viewer.js';
import { ALICE } from '../unit/turn/turn-harness.js';
import { type Replica } from './replica.js';
import { Gone, type World } from './world.js';

/**
 * `missing`: a replica reported that the response does not exist or that its events have expired.
 */
export type Ending = 'ended' | 'missing';

const TAKE = 3;

export class WatchingClient {
  readonly responseId: string;
  readonly seen: LoggedEvent[] = [];
  ending: Ending | undefined;
  readonly #world: World;

  constructor(world: World, responseId: string) {
    this.#world = world;
    this.responseId = responseId;
  }

  /** Follows until it receives the terminal event, or a replica reports the response as missing. */
  async follow(): Promise<void> {
    const { random } = this.#world;
    while (this.ending === undefined) {
      const replica = this.#world.anyReplica();
      try {
        const end = await this.#read(replica);
        if (end === 'ended') this.ending = 'ended';
      } catch (error) {
        const code = error instanceof SluiceError ? error.code : undefined;
        if (code === 'response_not_found' || code === 'response_expired') this.ending = 'missing';
        else if (code !== 'state_unavailable' && !(error instanceof Gone))
          throw new Error(`${this.responseId} from ${this.seen.length} on`, { cause: error });
      }
      if (this.ending === undefined) await this.#world.sleep(random.between(10, 400));
    }
  }

  /** One connection: what is on its way when it breaks never arrives. */
  #read(replica: Replica): Promise<'ended' | 'dropped'> {
    const { scheduler, random } = this.#world;
    const { promise, resolve, reject } = Promise.withResolvers<'ended' | 'dropped'>();
    let open = true;
    let lastAt = 0;
    let viewer: Viewer | undefined;
    const close = (): void => {
      if (!open) return;
      open = false;
      unlisten();
      scheduler.post(replica.host, random.between(0.1, 20), '', () => viewer?.close());
    };
    const unlisten = this.#world.onCrash(replica, () => {
      close();
      scheduler.post(null, 20, '', () => reject(new Gone('connection')));
    });
    /** Arrives in order. */
    const deliver = (work: () => void): void => {
      const at = Math.max(scheduler.now + random.between(0.1, 20), lastAt + 0.001);
      lastAt = at;
      scheduler.post(null, at - scheduler.now, '', () => {
        if (open) work();
      });
    };
    const end = (how: () => void): void =>
      deliver(() => {
        close();
        how();
      });
    const pump = (): void => {
      if (viewer === undefined || !open) return;
      for (let events = viewer.take(TAKE); events.length > 0; events = viewer.take(TAKE)) {
        const batch = events;
        deliver(() => this.#take(batch));
      }
      if (viewer.state === 'ended') end(() => resolve('ended'));
      if (viewer.state === 'lost') end(() => resolve('dropped'));
    };
    const wake = (): void => replica.time.soon(pump);
    scheduler.post(
      replica.host,
      random.between(0.1, 20),
      `opens ${this.responseId} after ${this.seen.length - 1}`,
      () => {
        replica.reader.open(ALICE, this.responseId, this.seen.length - 1, wake).then(
          (opened) => {
            viewer = opened;
            if (open) pump();
            else viewer.close();
          },
          (error: unknown) => end(() => reject(error as Error)),
        );
      },
    );
    const patienceMs = random.chance(0.3) ? random.between(5, 2_000) : 25_000;
    scheduler.post(null, patienceMs, '', () => {
      close();
      resolve('dropped');
    });
    return promise;
  }

  #take(events: readonly LoggedEvent[]): void {
    for (const event of events) {
      const newest = this.seen.at(-1);
      if (event.sequence !== this.seen.length)
        this.#world.recorder.violation(
          `a viewer of ${this.responseId} got ${event.sequence} after ${this.seen.length - 1}`,
        );
      if (newest !== undefined && isTerminal(newest.type))
        this.#world.recorder.violation(`a viewer of ${this.responseId} got ${event.type} after the terminal`);
      this.seen.push(event);
    }
  }
}
