/*
 * A client on a socket that subscribes to a conversation and unsubscribes again, one frame right
 * after the other: the order of its frames decides what it is sent.
 */

import { FrameDispatch } from '../../src/gateway/dispatch.js';
import { ALICE } from '../unit/turn/turn-harness.js';
import { FakeSocket } from '../unit/gateway/fake-socket.js';
import { type Replica } from './replica.js';
import { type World } from './world.js';

type Kind = 'subscribed' | 'unsubscribed';

/** A frame that is refused is answered by an error in the place of its answer. */
const ANSWERS = new Set(['sluice:subscribed', 'sluice:unsubscribed', 'error']);
const ANSWERED_WITHIN_MS = 60_000;

export class SocketClient {
  readonly conversation: string;
  readonly #world: World;
  readonly #replica: Replica;
  readonly #socket = new FakeSocket();
  readonly #frames: FrameDispatch;
  readonly #sent: Kind[] = [];
  #lastAt = 0;

  constructor(world: World, conversation: string) {
    this.conversation = conversation;
    this.#world = world;
    this.#replica = world.anyReplica();
    this.#frames = new FrameDispatch(
      this.#socket,
      { principal: ALICE, address: null, snapshots: false, resume: [], cancelOnDisconnect: false },
      this.#replica.connections,
    );
  }

  async act(): Promise<void> {
    const { random } = this.#world;
    for (let i = 1 + random.below(6); i > 0; i--) {
      this.#send(random.chance(0.6) ? 'subscribed' : 'unsubscribed');
      await this.#world.sleep(random.between(0, random.pick([0.1, 5, 500])));
    }
    for (let waitedMs = 0; this.#answers.length < this.#sent.length && waitedMs < ANSWERED_WITHIN_MS; waitedMs += 500) {
      if (this.#replica.host.state === 'crashed') return;
      await this.#world.sleep(500);
    }
  }

  /**
   * Holds what the client was sent against what it asked for. `probe`: a turn that ran when all
   * frames had been answered.
   */
  check(probe: string | undefined): void {
    if (this.#replica.host.state === 'crashed') return;
    const { recorder } = this.#world;
    const answers = this.#answers;
    if (answers.length !== this.#sent.length)
      recorder.violation(`a socket was sent ${answers.length} answers to ${this.#sent.length} frames`);
    const wrong = answers.findIndex((answer, i) => answer !== 'error' && answer !== `sluice:${this.#sent[i] ?? ''}`);
    if (wrong >= 0) recorder.violation(`a socket's frame ${wrong} was answered out of order: ${answers.join()}`);
    if (probe === undefined) return;
    const watches = answers.findLast((answer) => answer !== 'error') === 'sluice:subscribed';
    const numbers = this.#numbersOf(probe);
    const events = recorder.responses.get(probe)?.events.length ?? 0;
    if (watches ? numbers.length !== events || numbers.some((number, i) => number !== i) : numbers.length > 0)
      recorder.violation(
        `a socket that ${watches ? 'subscribed' : 'unsubscribed'} last got ${numbers.length} of ${events} events`,
      );
  }

  close(): void {
    this.#frames.end();
  }

  get #answers(): readonly string[] {
    // That a followed response is gone is an error of its lane, and no answer to a frame.
    const answers = this.#socket.frames.filter((frame) => !JSON.stringify(frame).includes('"response_expired"'));
    return answers.map((frame) => String(frame['type'])).filter((type) => ANSWERS.has(type));
  }

  /** Numbers of the events that came between a turn's announcement and its terminal. */
  #numbersOf(responseId: string): readonly number[] {
    const numbers: number[] = [];
    let within = false;
    for (const frame of this.#socket.frames) {
      if (frame['type'] === 'sluice:turn') within = frame['response_id'] === responseId;
      else if (within && 'sequence_number' in frame) numbers.push(Number(frame['sequence_number']));
    }
    return numbers;
  }

  /** Frames arrive in order. */
  #send(kind: Kind): void {
    const { scheduler, random } = this.#world;
    this.#sent.push(kind);
    const type = kind === 'subscribed' ? 'sluice:subscribe' : 'sluice:unsubscribe';
    const text = JSON.stringify({ type, conversation: this.conversation });
    const at = Math.max(scheduler.now + random.between(0.1, 5), this.#lastAt + 0.001);
    this.#lastAt = at;
    scheduler.post(this.#replica.host, at - scheduler.now, `frame ${type}`, () => this.#frames.intake.receive(text));
  }
}
