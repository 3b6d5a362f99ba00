/*
 * Viewers of every kind that ask and watch again and again until `stop`. One seed chooses for all
 * of them.
 */

import { seeded } from '../official/official.js';
import { pause } from './faults.js';
import { OfficialViewer } from './official-viewer.js';
import { OwnViewer, type Question, type Shown } from './own-viewer.js';
import { SseViewer } from './sse-viewer.js';
import { Truth, type View } from './truth.js';

export interface CrowdOptions {
  readonly url: string;
  /** Conversations in which some of the questions are sent, one after the other. */
  readonly conversations: readonly string[];
  readonly seed: number;
  /** Whether some turns are cancelled. Default: true. */
  readonly cancels?: boolean;
  /** Whether some devices subscribe and unsubscribe again and again. */
  readonly subscribes?: boolean;
  readonly mostDeltas?: number;
}

const LANES = ['a', 'b', 'c'];
const SWITCHING_DEVICES = 3;

export class Crowd {
  readonly truth = new Truth();
  /**
   * The subscriptions that last until the end: each must have shown every response of its
   * conversation.
   */
  readonly shown: Shown[] = [];
  readonly #random: () => number;
  readonly #closing: { close(): void }[] = [];
  readonly #officials: OfficialViewer[] = [];
  #over = false;

  constructor(readonly options: CrowdOptions) {
    this.#random = seeded(options.seed ^ 0x5eed);
  }

  get gaveUp(): number {
    return this.#officials.reduce((sum, { gaveUp }) => sum + gaveUp, 0);
  }

  /**
   * Resolves when every viewer has seen the end of what it asked for, and every subscribed device
   * the end of what it was shown; asks nothing new once `stop` was called.
   */
  async run(viewers: number): Promise<void> {
    const devices = this.options.conversations.map((conversation) => {
      const device = this.#keep(new OwnViewer(this.truth, this.options.url));
      this.shown.push(device.subscribe(conversation));
      return device;
    });
    const work: Promise<void>[] = [];
    for (let i = 0; i < viewers; i++) work.push(this.#viewer(i));
    if (this.options.subscribes === true) {
      for (let i = 0; i < SWITCHING_DEVICES; i++)
        work.push(this.#switch(this.#keep(new OwnViewer(this.truth, this.options.url))));
    }
    if (this.options.cancels !== false) work.push(this.#cancelSome());
    await Promise.all(work);
    // A device may be behind the viewers: one that is closed before the end would count as lost.
    while (devices.some(({ following }) => following > 0)) await pause(20);
  }

  stop(): void {
    this.#over = true;
  }

  close(): void {
    for (const viewer of this.#closing) viewer.close();
  }

  async #viewer(i: number): Promise<void> {
    await pause(this.#random() * 2_000);
    const kind = i % 4;
    if (kind === 1) {
      const viewer = this.#keep(new OfficialViewer(this.truth, this.options.url));
      this.#officials.push(viewer);
      await Promise.all(LANES.map((lane) => this.#again(() => viewer.ask(lane, this.#question()))));
      return;
    }
    if (kind === 2) {
      const viewer = this.#keep(new SseViewer(this.truth, this.options.url));
      await this.#again(() => viewer.ask(this.#question()));
      return;
    }
    const own = this.#keep(new OwnViewer(this.truth, this.options.url));
    const late = this.#keep(new SseViewer(this.truth, this.options.url));
    await Promise.all([
      this.#again(() => own.ask(this.#question())),
      this.#again(() => this.#watch(kind === 3 ? own : late)),
    ]);
  }

  #keep<T extends { close(): void }>(viewer: T): T {
    this.#closing.push(viewer);
    return viewer;
  }

  async #again(next: () => View | undefined): Promise<void> {
    while (!this.#over) {
      const view = next();
      if (view === undefined) await pause(200);
      else await view.done;
    }
  }

  #question(): Question {
    const inLine = this.options.conversations.length > 0 && this.#random() < 0.3;
    const conversation = inLine ? this.#oneOf(this.options.conversations) : undefined;
    if (inLine) return { deltas: 10 + Math.floor(this.#random() * 40), intervalMs: 5, conversation };
    // Viewers that come late to a long one receive a snapshot.
    if (this.options.mostDeltas === undefined && this.#random() < 0.1) return { deltas: 4_000, intervalMs: 2 };
    const deltas = 20 + Math.floor(this.#random() * ((this.options.mostDeltas ?? 320) - 20));
    return { deltas, intervalMs: 5 + Math.floor(this.#random() * 25) };
  }

  /** The answer of another viewer, from anywhere up to its newest event. */
  #watch(viewer: OwnViewer | SseViewer): View | undefined {
    const id = this.#oneOf(this.truth.running);
    if (id === undefined) return undefined;
    return viewer.watch(id, Math.floor(this.#random() * this.truth.of(id).events.length) - 1);
  }

  /**
   * Switches between conversations: subscribes, and unsubscribes after a moment, often before the
   * subscribe was answered. At the end it subscribes to all of them, and each must show everything.
   */
  async #switch(device: OwnViewer): Promise<void> {
    while (!this.#over) {
      const conversation = this.#oneOf(this.options.conversations);
      if (conversation === undefined) return;
      const shown = device.subscribe(conversation);
      await pause(this.#random() < 0.3 ? 0 : this.#random() * 1_500);
      shown.close();
      // Half of the time the next subscribe follows in the same tick.
      if (this.#random() < 0.5) await pause(this.#random() * 300);
    }
    const last = this.options.conversations.map((conversation) => device.subscribe(conversation));
    this.shown.push(...last);
    await Promise.all(last.map(({ caughtUp }) => caughtUp));
  }

  /** Now and then a turn is cancelled over REST, by whatever replica that reaches. */
  async #cancelSome(): Promise<void> {
    while (!this.#over) {
      await pause(400 + this.#random() * 800);
      const id = this.#oneOf(this.truth.running);
      if (id === undefined) continue;
      this.truth.of(id).cancelAsked = true;
      await fetch(`${this.options.url}/v1/responses/${id}/cancel`, {
        method: 'POST',
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(3_000),
      }).catch(() => undefined);
    }
  }

  #oneOf<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#random() * all.length)];
  }
}
