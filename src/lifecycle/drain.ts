/*
 * The graceful shutdown, in order: refuse new turns, let running turns finish, notify the sockets,
 * close outgoing connections. Each step has a time limit, and a step that fails does not stop the
 * others. Knows nothing of signals and exit codes (process-end.ts).
 */

import { type BeforeApplicationShutdown } from '@nestjs/common';
import { SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';
import { type Log } from '../observability/log.js';
import { type DrainState } from '../turn/drain-state.js';
import { type After, systemAfter, withDeadline } from './with-deadline.js';

export interface RunningTurns {
  readonly count: number;
  /** Resolves when no turn runs. */
  whenIdle(): Promise<void>;
  /** Ends every running turn with a terminal event that carries `reason`. */
  abortAll(reason: SluiceError): Promise<void>;
}

export interface SocketCloser {
  /** Open sockets now. */
  readonly size: number;
  /** Sends `sluice:draining` to every socket. */
  announceDraining(reconnectAfterMs: number): void;
  /** Resolves when every socket has delivered its due events. */
  whenDelivered(): Promise<void>;
  /**
   * Closes every socket after its due events, spread over `overMs` milliseconds so that clients do
   * not reconnect all at once.
   */
  closeAll(code: number, reason: string, overMs: number): Promise<void>;
}

/** Answers over HTTP that are being sent: streams and others. */
export interface OpenAnswers {
  /** Open answers now. */
  readonly size: number;
  /** Resolves when no answer is open. */
  whenClosed(): Promise<void>;
  /** Ends every stream with an error that carries `reason`. */
  interrupt(reason: SluiceError): void;
}

export interface Closable {
  close(): Promise<void>;
}

export interface DrainOptions {
  /**
   * True: other replicas can serve what runs here, so the sockets close first and the turns
   * continue without them. False: only this replica has them, so the sockets stay until the turns
   * have ended.
   */
  readonly sharedState: boolean;
  /** `app.shutdown_timeout`: how long running turns may continue. */
  readonly graceMs: number;
  /** How long aborted turns may take to write their terminal events. */
  readonly abortWithinMs: number;
  readonly reconnectAfterMs: number;
  /**
   * Longest time over which the sockets are closed. Few sockets take less. The official client
   * gives up after about 12 s.
   */
  readonly closeSocketsOverMs: number;
  /**
   * With shared state: how long readers over HTTP may continue after the last turn, within the
   * grace. They can read the rest from another replica.
   */
  readonly readSharedMs: number;
  /**
   * How long HTTP readers may continue after the grace: the terminal events were written just
   * before.
   */
  readonly readAtLeastMs: number;
  /** How long a stream has to deliver its error. */
  readonly lingerMs: number;
  /**
   * How long the last socket may take, and how long the connections to provider, collector and
   * store may take.
   */
  readonly closeWithinMs: number;
}

/** The times of a drain besides its grace. All steps after the grace end within 15 seconds. */
export const DRAIN_TIMES = {
  abortWithinMs: 2_000,
  reconnectAfterMs: 1_000,
  closeSocketsOverMs: 10_000,
  readSharedMs: 5_000,
  readAtLeastMs: 1_000,
  lingerMs: 1_000,
  closeWithinMs: 1_000,
} as const satisfies Omit<DrainOptions, 'graceMs' | 'sharedState'>;

/** Close spread per open socket, up to `closeSocketsOverMs`: 1,000 sockets reach the 10 s. */
const PER_SOCKET_MS = 10;

/** Returns the longest duration of a drain with these times, in milliseconds. */
export function longestDrainMs(options: DrainOptions): number {
  const { graceMs, abortWithinMs, closeSocketsOverMs, readAtLeastMs, lingerMs, closeWithinMs } = options;
  const leaving = Math.max(closeSocketsOverMs + closeWithinMs, readAtLeastMs + lingerMs);
  return graceMs + abortWithinMs + leaving + closeWithinMs;
}

const SERVICE_RESTART = 1012;

/**
 * `finished`: every turn ended without an abort. `cut short`: some turns were aborted, or a step
 * failed.
 */
export type DrainOutcome = 'finished' | 'cut short';

/**
 * Runs in Nest's `beforeApplicationShutdown`, which Nest awaits. The adapters are still open then;
 * later, clients would see 1006. Nest runs hooks of one level concurrently, so this is the only
 * hook that closes anything.
 */
export class Drain implements BeforeApplicationShutdown {
  #outcome: DrainOutcome = 'finished';
  #running: Promise<DrainOutcome> | undefined;
  readonly #hurry = new AbortController();

  constructor(
    private readonly state: DrainState,
    private readonly turns: RunningTurns,
    private readonly sockets: SocketCloser,
    private readonly answers: OpenAnswers,
    private readonly connections: Closable,
    private readonly logger: Pick<Log, 'info' | 'warn' | 'error'>,
    private readonly options: DrainOptions,
    private readonly after: After = systemAfter,
    private readonly time: Pick<Time, 'now'> = systemTime,
  ) {}

  async beforeApplicationShutdown(): Promise<void> {
    await this.run();
  }

  /** Drains once. Later calls wait for the same drain. Never rejects. */
  run(): Promise<DrainOutcome> {
    this.#running ??= this.#drain();
    return this.#running;
  }

  /** Ends running turns and open streams now, without waiting for the grace. */
  hurry(): void {
    this.#hurry.abort();
  }

  async #drain(): Promise<DrainOutcome> {
    const { graceMs, sharedState, readSharedMs, closeWithinMs } = this.options;
    this.state.startDraining();
    this.logger.info({ turns_in_flight: this.turns.count, grace_ms: graceMs }, 'shutting down server...');

    const graceUntil = this.time.now() + graceMs;
    const leaveOverHttp = (readMs: number): Promise<void> =>
      this.#endAnswers(Math.min(readMs, graceUntil - this.time.now()));
    if (sharedState) {
      // Run both steps concurrently: the grace counts from the signal, not from the last socket.
      await Promise.all([this.#endTurns().then(() => leaveOverHttp(readSharedMs)), this.#closeSockets()]);
    } else {
      await this.#endTurns();
      await this.#deliver(graceUntil - this.time.now());
      await Promise.all([leaveOverHttp(graceMs), this.#closeSockets()]);
    }
    await this.#step('close connections', closeWithinMs, () => this.connections.close());
    return this.#outcome;
  }

  async #endTurns(): Promise<void> {
    const { graceMs, abortWithinMs } = this.options;
    const idle = await this.#step('finish turns', graceMs, () => this.turns.whenIdle(), this.#hurry.signal);
    if (idle) return;
    this.#outcome = 'cut short';
    this.logger.warn({ turns_in_flight: this.turns.count }, 'aborted running turns');
    await this.#step('end turns', abortWithinMs, () => this.turns.abortAll(goingAway()));
  }

  /**
   * Waits for sockets and answers for the rest of the grace: with state in memory no other replica
   * can serve them.
   */
  async #deliver(leftMs: number): Promise<void> {
    if (leftMs <= 0 || this.#hurry.signal.aborted) return;
    const delivered = async (): Promise<void> => {
      await Promise.all([this.sockets.whenDelivered(), this.answers.whenClosed()]);
    };
    await this.#step('deliver answers', leftMs, delivered, this.#hurry.signal);
  }

  /** Ends the streams that are still open after the reading time, and those that begin later. */
  async #endAnswers(readMs: number): Promise<void> {
    const { readAtLeastMs, lingerMs } = this.options;
    const closed = (): Promise<void> => this.answers.whenClosed();
    if (this.answers.size > 0) {
      const mayWait = readMs > readAtLeastMs && !this.#hurry.signal.aborted;
      const done = mayWait
        ? await this.#step('finish answers', readMs, closed, this.#hurry.signal)
        : await this.#step('finish answers', readAtLeastMs, closed);
      if (!done) this.logger.warn({ answers: this.answers.size }, 'interrupted open answers');
    }
    this.answers.interrupt(answerInterrupted());
    if (this.answers.size > 0) await this.#step('end answers', lingerMs, closed);
  }

  async #closeSockets(): Promise<void> {
    const { reconnectAfterMs, closeSocketsOverMs, closeWithinMs } = this.options;
    const overMs = this.#hurry.signal.aborted ? 0 : Math.min(closeSocketsOverMs, this.sockets.size * PER_SOCKET_MS);
    await this.#step('close sockets', overMs + closeWithinMs, () => {
      this.sockets.announceDraining(reconnectAfterMs);
      return this.sockets.closeAll(SERVICE_RESTART, 'draining', overMs);
    });
  }

  /**
   * Runs one step within its bound. A step that fails makes the outcome worse. A late step is only
   * logged: a peer, a store or a collector that does not answer its close aborts no turn. If
   * `hurry` cancelled the step, the caller decides what that means.
   * @returns whether the step was done in time
   */
  async #step(name: string, ms: number, work: () => Promise<void>, hurry?: AbortSignal): Promise<boolean> {
    try {
      if (await withDeadline(work(), ms, this.after, hurry)) return true;
      if (hurry === undefined) this.logger.warn({ step: name, limit_ms: ms }, 'shutdown step timed out');
    } catch (thrown) {
      this.#outcome = 'cut short';
      this.logger.error({ step: name, err: thrown }, 'shutdown step failed');
    }
    return false;
  }
}

function answerInterrupted(): SluiceError {
  return new SluiceError(
    'draining',
    'unable to finish this answer; this server is shutting down; read the response again or resume with starting_after',
    { retryAfterMs: 1_000 },
  );
}

function goingAway(): SluiceError {
  return new SluiceError(
    'replica_lost',
    'unable to finish this response; the server is shutting down; send the request again',
  );
}
