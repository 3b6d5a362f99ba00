/*
 * One replica of the simulation: the real turn, claim, log, follow, reader and limits code over a
 * simulated network.
 */

import { AnonymousAuthenticator } from '../../src/auth/anonymous-authenticator.js';
import { type Time } from '../../src/domain/time.js';
import { type ConnectionParts } from '../../src/gateway/connection-parts.js';
import { FlushRound } from '../../src/gateway/flush-round.js';
import { UnstoredRoom } from '../../src/turn/unstored-responses.js';
import { FrameRounds } from '../../src/gateway/frame-rounds.js';
import { SluiceError } from '../../src/domain/errors.js';
import { ZERO_USAGE } from '../../src/domain/response.js';
import { Log, type LogFields } from '../../src/observability/log.js';
import { type Metrics } from '../../src/observability/metrics.js';
import { NO_TRACING } from '../../src/observability/tracing.js';
import { FREE_PLACE } from '../../src/provider/call-gate.js';
import { Provider, type ProviderPart, type ProviderRequest } from '../../src/provider/provider.js';
import { FollowHub } from '../../src/state/follow/follow-hub.js';
import { type State } from '../../src/state/state.js';
import { PromptRegistry } from '../../src/templating/registry.js';
import { Admission } from '../../src/turn/admission.js';
import { OrphanSweep } from '../../src/turn/orphan-sweep.js';
import { FlushClock } from '../../src/turn/flush-clock.js';
import { Conversations } from '../../src/turn/conversations.js';
import { DrainState } from '../../src/turn/drain-state.js';
import { TurnGuards } from '../../src/turn/turn-guards.js';
import { TurnLimits } from '../../src/turn/turn-limits.js';
import { TurnContexts } from '../../src/turn/turn-context.js';
import { Idempotency } from '../../src/turn/idempotency.js';
import { TurnReport } from '../../src/turn/turn-report.js';
import { ResponseReader } from '../../src/turn/response-reader.js';
import { Settlement } from '../../src/turn/settlement.js';
import { TurnRoom } from '../../src/turn/turn-room.js';
import { TurnService } from '../../src/turn/turn.service.js';
import { SETTINGS } from '../unit/gateway/connection-harness.js';
import { POLICY } from '../unit/turn/turn-harness.js';
import { type Network } from './network.js';
import { type Random } from './random.js';
import { type Recorder } from './recorder.js';
import { type Host } from './scheduler.js';
import { mediaCheck } from '../support/media.js';
import { NO_AUDIT } from '../../src/observability/audit.js';
import { SummarySeal } from '../../src/turn/summary-seal.js';

const SWEEP_EVERY_MS = 2_000;
const OUTPUT_TOKENS = 7;
export const COST_USD = 0.25;

export interface ReplicaOptions {
  readonly host: Host;
  readonly time: Time;
  readonly network: Network;
  readonly state: State;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly contexts?: MakeContexts;
}

export type MakeContexts = (...parts: ConstructorParameters<typeof TurnContexts>) => TurnContexts;

export class Replica {
  readonly host: Host;
  readonly network: Network;
  readonly time: Time;
  readonly turns: TurnService;
  readonly reader: ResponseReader;
  readonly conversations: Conversations;
  readonly counts = new Counts();
  readonly hub: FollowHub;
  /** What sockets of this replica use. */
  readonly connections: ConnectionParts;
  readonly drain = new DrainState();
  readonly room = new TurnRoom({ turns: 1_000, bytes: 1_000_000_000, lagging: () => false });

  constructor(options: ReplicaOptions) {
    const { host, time, network, random, recorder, contexts: makeContexts = plainContexts } = options;
    const state = network.reach(options.state);
    const { events: log, lease, claim, entry, announcements, conversations, responses, keys, limiter, index } = state;
    this.host = host;
    this.network = network;
    this.time = time;
    const metrics = this.counts.metrics();
    const logger = new ErrorsOnly(recorder, host.name);
    this.hub = new FollowHub({
      events: log,
      time,
      ringEvents: 4,
      pageEvents: 3,
      hooks: { viewers: (by) => this.counts.add('viewers', by) },
    });
    const contexts = makeContexts(conversations, responses, {
      exit: state.exit,
      seal: new SummarySeal(null),
      windowItems: 500,
      kept: { maxItems: 500, maxBytes: 10_000_000 },
    });
    const report = new TurnReport(logger, metrics, time);
    this.reader = new ResponseReader(log, this.hub, responses, { time });
    const admission = new Admission(POLICY, {
      prompts: new PromptRegistry([]),
      conversations,
      responses,
      events: log,
      media: mediaCheck(),
      seal: new SummarySeal(null),
    });
    const usage = { ...ZERO_USAGE, output_tokens: OUTPUT_TOKENS, total_tokens: OUTPUT_TOKENS };
    const accounting = { estimate: () => Promise.resolve(usage), cost: () => COST_USD };
    const limits = new TurnLimits(
      limiter,
      { requestsPerMinute: 1_000_000, tokensPerMinute: 100_000_000, concurrentTurns: 100, costPerDayUsd: 1_000_000 },
      () => COST_USD,
    );
    this.turns = new TurnService(
      {
        admission,
        compaction: { apply: (_turn, context) => Promise.resolve(context) },
        room: this.room,
        limits,
        index: index,
        events: log,
        lease,
        claim,
        entry,
        announcements,
        reader: this.reader,
        idempotency: new Idempotency(keys, undefined, time),
        contexts,
        guards: new TurnGuards([]),
        provider: new SimulatedProvider(time, random, recorder),
        gate: { enter: () => Promise.resolve(FREE_PLACE) },
        settlement: new Settlement(contexts, accounting),
        report,
        tracing: NO_TRACING,
        clock: new FlushClock({ maxWindowMs: 40, time }),
        drain: this.drain,
      },
      { maxWaiting: 2, windowItems: 500, time },
    );
    this.conversations = new Conversations({
      store: conversations,
      claim,
      events: log,
      allowInstructions: null,
      allowHistory: null,
      responses,
      maxItemBytes: POLICY.maxItemBytes,
      media: mediaCheck(),
      time,
    });
    this.connections = {
      turns: this.turns,
      reader: this.reader,
      conversations: this.conversations,
      claim,
      announcements,
      report,
      authenticator: new AnonymousAuthenticator(),
      operations: { take: () => undefined },
      audit: NO_AUDIT,
      settings: SETTINGS,
      metrics,
      logger,
      time,
      round: new FlushRound(time),
      rounds: new FrameRounds(time),
      unstored: new UnstoredRoom(),
      cpuMs: () => 0,
    };
    const sweep = new OrphanSweep({
      events: log,
      lease,
      claim,
      announcements,
      responses,
      contexts,
      logger,
      accounting,
      limits,
      time,
      onEnded: (response) => report.adopted(response),
    });
    sweep.start(SWEEP_EVERY_MS);
  }
}

const plainContexts: MakeContexts = (...parts) => new TurnContexts(...parts);

/** Answers with a few words, some time apart; sometimes breaks off, sometimes is slow. */
class SimulatedProvider extends Provider {
  readonly #time: Time;
  readonly #random: Random;
  readonly #recorder: Recorder;

  constructor(time: Time, random: Random, recorder: Recorder) {
    super();
    this.#time = time;
    this.#random = random;
    this.#recorder = recorder;
  }

  override async *stream(request: ProviderRequest, signal: AbortSignal): AsyncGenerator<ProviderPart> {
    this.#recorder.asked(request.items.map(({ id }) => id));
    const random = this.#random;
    const words = random.below(5);
    const paceMs = random.pick([1, 20, 600]);
    const breaks = random.chance(0.1);
    yield { type: 'start', provider: 'simulated', model: 'model-a' };
    for (let word = 0; word < words; word++) {
      await this.#pause(random.between(0.1, paceMs), signal);
      yield { type: 'text', text: `word-${word} ` };
    }
    await this.#pause(random.between(0.1, paceMs), signal);
    if (breaks) throw new SluiceError('provider_unavailable', 'unable to answer; the provider is simulated; try again');
    const usage = { ...ZERO_USAGE, output_tokens: OUTPUT_TOKENS, total_tokens: OUTPUT_TOKENS };
    if (random.chance(0.7)) yield { type: 'usage', usage, estimated: false };
    yield { type: 'finish', reason: 'stop' };
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const cancel = this.#time.after(ms, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** Sums of what a replica counted, by the metric's name and its labels. */
class Counts {
  readonly sums = new Map<string, number>();

  add(name: string, by: number): void {
    this.sums.set(name, (this.sums.get(name) ?? 0) + by);
  }

  of(name: string): number {
    return this.sums.get(name) ?? 0;
  }

  metrics(): Metrics {
    const instrument = (name: string) => {
      const by = (sign: 1 | -1) => (labels?: unknown, amount?: number) => {
        const of = labels instanceof Object ? `${name} ${Object.values(labels).join(' ')}` : name;
        this.add(of, sign * (typeof labels === 'number' ? labels : (amount ?? 1)));
      };
      return { inc: by(1), dec: by(-1), set: () => undefined, observe: () => undefined };
    };
    const made = new Map<PropertyKey, unknown>();
    const of = new Proxy(
      {},
      {
        get: (_, name) => {
          if (!made.has(name)) made.set(name, instrument(String(name)));
          return made.get(name);
        },
      },
    );
    // A stand-in: what is counted is summed, without a registry.
    return { of } as unknown as Metrics;
  }
}

/**
 * A log in which an error that is no outage is a violation: something happened that the code did
 * not expect.
 */
class ErrorsOnly extends Log {
  readonly #recorder: Recorder;
  readonly #name: string;

  constructor(recorder: Recorder, name: string) {
    super();
    this.#recorder = recorder;
    this.#name = name;
  }

  override debug(): void {}
  override info(): void {}
  override warn(): void {}
  override error({ err }: LogFields, message: string): void {
    if (err instanceof SluiceError && err.code !== 'server_error') return;
    const cause = err instanceof Error ? (err.cause instanceof Error ? err.cause.stack : err.stack) : String(err);
    this.#recorder.violation(`${this.#name} logged "${message}": ${cause ?? ''}`);
  }
  override child(): Log {
    return this;
  }
}
