/*
 * Sends the errors of one connection, in the order of their lanes, and counts them against a
 * budget. A client whose frames are mostly refused is disconnected. A refusal weighs by number and
 * by the CPU time that reading its frame cost.
 */

import { type ErrorCode, type SluiceError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import { type Principal } from '../domain/principal.js';
import { type Time } from '../domain/time.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { encodeError } from '../protocol/socket/server-events.js';
import { type TurnReport } from '../turn/turn-report.js';
import { type EventAudit } from './event-audit.js';
import { type Lanes } from './lanes/lanes.js';

export interface RefusalsOptions {
  readonly connectionId: string;
  readonly lanes: Lanes;
  readonly report: Pick<TurnReport, 'refused'>;
  readonly audit: Pick<EventAudit, 'refused'>;
  /** Address of the client, as far as the proxies in front are trusted. */
  readonly address: string | null;
  readonly metrics: Metrics;
  readonly logger: Pick<Log, 'error'>;
  readonly time: Time;
  readonly send: (json: string) => void;
  /** Called once the budget is used up. */
  readonly onExhausted: () => void;
}

/**
 * A refused `response.create`, for the error and for the report of the turn that was not started.
 */
export interface RefusedCreate {
  readonly caller: Principal;
  readonly streamId: string | undefined;
  readonly clientRequestId: string | undefined;
  readonly requestId: string;
  /** By the monotonic clock, in milliseconds. */
  readonly startedAt: number;
}

/** Refused frames allowed at once; one more is allowed each second. */
const BUDGET = 60;
const PER_SECOND = 1;
/**
 * CPU time in milliseconds that weighs as much as one refused frame. With one frame a second, a
 * flood of large frames gets 1 % of a core.
 */
const CPU_MS_PER_FRAME = 10;
/**
 * The weight of a refused frame that is not the client's fault: the cost of reading and answering
 * it, about 20 microseconds.
 */
const NOT_ITS_OWN_WEIGHT = 0.002;

/** Codes below 500 whose cause is not the frame itself. */
const NOT_ITS_OWN: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'conversation_busy',
  'response_still_running',
]);

export class Refusals {
  readonly #options: RefusalsOptions;
  #used = 0;
  #countedAt = 0;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /**
   * Takes a refusal from the budget. Errors that are not the client's fault weigh only what they
   * cost.
   * @param cpuMs CPU time spent on the frame, in milliseconds; 0 if it was not measured
   */
  count(error: SluiceError, cpuMs = 0): void {
    const own = error.status < 500 && !NOT_ITS_OWN.has(error.code);
    const now = this.#options.time.now();
    const refilled = ((now - this.#countedAt) / 1_000) * PER_SECOND;
    this.#used = Math.max(0, this.#used - refilled) + (own ? 1 : NOT_ITS_OWN_WEIGHT) + cpuMs / CPU_MS_PER_FRAME;
    this.#countedAt = now;
    if (this.#used > BUDGET) this.#options.onExhausted();
  }

  /** Sends an error now. */
  send(error: SluiceError, streamId: string | undefined): void {
    const { metrics, logger, connectionId } = this.#options;
    metrics.of.refusals_total.inc({ code: error.code });
    if (error.code === 'server_error')
      logger.error({ connection_id: connectionId, err: error }, 'unable to serve a frame');
    this.#options.send(encodeError(error, streamId));
  }

  /** Sends an error now, and reports the turn that was refused. */
  sendCreate(error: SluiceError, { streamId, startedAt, ...refused }: RefusedCreate): void {
    const { report, audit, address, time, send } = this.#options;
    const durationMs = Math.round(time.now() - startedAt);
    report.refused({ ...refused, method: 'WS', endpoint: 'ws', address, durationMs, error });
    audit.refused('response.create', {}, error, refused.caller);
    send(encodeError(error, streamId));
  }

  /** Counts a refused frame, and sends its error when what runs and waits in its lane has ended. */
  refuse(error: SluiceError, streamId: string | undefined, cpuMs = 0): void {
    this.count(error, cpuMs);
    this.#options.lanes.inOrder(streamId, () => this.send(error, streamId));
  }

  /** Like `refuse`, for a `response.create`. */
  refuseCreate(
    error: SluiceError,
    create: Pick<RefusedCreate, 'caller' | 'streamId' | 'clientRequestId'>,
    cpuMs = 0,
  ): void {
    const { time, lanes } = this.#options;
    const refused = { ...create, requestId: newId('req', time), startedAt: time.now() };
    this.count(error, cpuMs);
    lanes.inOrder(create.streamId, () => this.sendCreate(error, refused));
  }
}
