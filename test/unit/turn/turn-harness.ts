/*
 * One replica's turns over a state in memory that can fail or stall on request, with a scripted
 * provider.
 */

import { NO_TRACING } from '../../../src/observability/tracing.js';
import { type ResponseEvent } from '../../../src/domain/event.js';
import { type Item } from '../../../src/domain/item.js';
import { type Principal } from '../../../src/domain/principal.js';
import { type ResolvedRequest, type ResponseRequest } from '../../../src/domain/request.js';
import { type Usage, ZERO_USAGE } from '../../../src/domain/response.js';
import { SluiceError } from '../../../src/domain/errors.js';
import { systemTime, type Time } from '../../../src/domain/time.js';
import { LinesLog } from '../../support/lines-log.js';
import { Metrics } from '../../../src/observability/metrics.js';
import { type Provider } from '../../../src/provider/provider.js';
import { FollowHub } from '../../../src/state/follow/follow-hub.js';
import { memoryState } from '../../../src/state/memory/memory-state.js';
import { ConversationEntry } from '../../../src/state/conversation-entry.js';
import { ConversationExit } from '../../../src/state/conversation-exit.js';
import { type ResponseStore } from '../../../src/state/conversation-store.js';
import { endInSteps } from '../../../src/state/end-in-steps.js';
import { type EventLog } from '../../../src/state/event-log.js';
import { type State } from '../../../src/state/state.js';
import { PromptRegistry } from '../../../src/templating/registry.js';
import { Admission, type AdmissionPolicy } from '../../../src/turn/admission.js';
import { OrphanSweep } from '../../../src/turn/orphan-sweep.js';
import { FlushClock } from '../../../src/turn/flush-clock.js';
import { DrainState } from '../../../src/turn/drain-state.js';
import { TurnGuards } from '../../../src/turn/turn-guards.js';
import { type LimitSettings, TurnLimits } from '../../../src/turn/turn-limits.js';
import { TurnContexts } from '../../../src/turn/turn-context.js';
import { Idempotency } from '../../../src/turn/idempotency.js';
import { type CallGate, FREE_PLACE } from '../../../src/provider/call-gate.js';
import { TurnReport } from '../../../src/turn/turn-report.js';
import { parseLogged } from '../../../src/turn/logged-response.js';
import { ResponseReader } from '../../../src/turn/response-reader.js';
import { type Accounting } from '../../../src/turn/accounting.js';
import { Settlement } from '../../../src/turn/settlement.js';
import { type ShadowParts, type ShadowPolicy, ShadowRuns } from '../../../src/turn/shadow-runs.js';
import { type TurnOrigin } from '../../../src/turn/turn.js';
import { TurnRoom, type TurnRoomOptions } from '../../../src/turn/turn-room.js';
import { TurnService } from '../../../src/turn/turn.service.js';
import { type GuardrailSpec } from '../../../src/validation/guardrail.js';
import { type DemoStep } from '../../../src/provider/demo/demo-script.js';
import { say, ScriptedProvider } from '../../support/scripted-provider.js';
import { mediaCheck } from '../../support/media.js';
import { SummarySeal } from '../../../src/turn/summary-seal.js';

export const ALICE: Principal = {
  kind: 'key',
  owner: 'acme/alice',
  tenant: 'acme',
  user: 'alice',
  credential: 'key-1',
  scopes: new Set(['chat']),
  limitsClass: null,
  trusted: true,
  binding: null,
  issuedAtMs: null,
  expiresAtMs: null,
};
export const BOB: Principal = { ...ALICE, owner: 'acme/bob', user: 'bob' };

export const ORIGIN: TurnOrigin = {
  endpoint: 'ws',
  method: 'WS',
  path: '/v1/responses',
  requestId: 'req_1',
  delivery: 'stream',
};

const NO_LIMITS: LimitSettings = {
  requestsPerMinute: null,
  tokensPerMinute: null,
  concurrentTurns: null,
  costPerDayUsd: null,
};
export const POLICY: AdmissionPolicy = {
  model: 'model-a',
  models: [],
  allow: { instructions: null, model: null, tools: null, sampling: null, history: null, reasoning: null },
  maxTokens: null,
  temperature: null,
  stateEnabled: true,
  maxItemBytes: 1_000_000,
  templateEnabled: true,
  defaultPrompt: null,
  promptVariables: {},
  timeZone: 'UTC',
  canary: {},
};

export function userItem(text: string): Item {
  return {
    type: 'message',
    id: `msg_${text.replaceAll(' ', '_')}`,
    role: 'user',
    status: 'completed',
    content: [{ type: 'input_text', text }],
  };
}

export function requestOf(text: string, fields?: Partial<ResolvedRequest>): ResolvedRequest;
export function requestOf(text: string, fields: Partial<ResponseRequest>): ResponseRequest;
export function requestOf(text: string, fields: Partial<ResponseRequest> = {}): ResponseRequest {
  return { input: [userItem(text)], store: true, background: false, ...fields };
}

/** A gate that a test opens. */
export interface Gate {
  /** Resolves when a caller reaches the gate. */
  readonly reached: Promise<void>;
  open(): void;
}

/** Makes calls of a contract's methods reject or wait, by the method's name. */
export class Faults {
  readonly #failing = new Map<string, { times: number; error: () => Error; after: boolean }>();
  readonly #gates = new Map<string, { reached: () => void; opened: Promise<void> }>();
  readonly calls: string[] = [];

  /**
   * The next `times` calls of `method` reject; `after`: the call is done and only its reply is
   * lost.
   */
  fail(method: string, times = Infinity, error: () => Error = away, after = false): void {
    this.#failing.set(method, { times, error, after });
  }

  heal(method: string): void {
    this.#failing.delete(method);
  }

  /** Calls of `method` wait before they are done. */
  hold(method: string): Gate {
    const reached = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    this.#gates.set(method, { reached: reached.resolve, opened: opened.promise });
    return {
      reached: reached.promise,
      open: () => {
        this.#gates.delete(method);
        opened.resolve();
      },
    };
  }

  wrap<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (whole, name) => {
        const value: unknown = Reflect.get(whole, name, whole);
        if (typeof value !== 'function' || typeof name !== 'string') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          this.calls.push(name);
          const gate = this.#gates.get(name);
          if (gate !== undefined) {
            gate.reached();
            await gate.opened;
          }
          const failing = this.#failing.get(name);
          const fails = failing !== undefined && failing.times > 0;
          if (fails) failing.times -= 1;
          if (fails && !failing.after) throw failing.error();
          // The proxy has the type of its target and forwards arguments unchanged.
          const result = (await Reflect.apply(value as (...all: unknown[]) => unknown, whole, args)) as unknown;
          if (fails) throw failing.error();
          return result;
        };
      },
    });
  }
}

/**
 * The log of a store that ends a response in two steps, as a Redis Cluster does, so that each of
 * them can fail.
 */
export function endingInSteps(events: EventLog, responses: ResponseStore): EventLog {
  const end: EventLog['end'] = (...args) => endInSteps({ events, responses }, ...args);
  return new Proxy(events, {
    get: (whole, name) => {
      if (name === 'end') return end;
      const value: unknown = Reflect.get(whole, name, whole);
      return typeof value === 'function' ? (value.bind(whole) as unknown) : value;
    },
  });
}

export function away(): SluiceError {
  return new SluiceError('state_unavailable', 'unable to reach the store; it is away; try again');
}

export interface HarnessOptions {
  readonly answers?: readonly (readonly DemoStep[])[];
  readonly provider?: Provider;
  readonly gate?: Pick<CallGate, 'enter'>;
  readonly policy?: Partial<AdmissionPolicy>;
  readonly guardrails?: readonly GuardrailSpec[];
  readonly maxWaiting?: number;
  readonly accounting?: Partial<Accounting>;
  /** Another harness whose state this one shares, as a second replica. */
  readonly beside?: TurnHarness;
  /** Time of the state and of this replica. */
  readonly time?: Time;
  readonly windowItems?: number;
  readonly maxBytes?: number;
  readonly limits?: Partial<LimitSettings>;
  readonly room?: Partial<TurnRoomOptions>;
  readonly prompts?: PromptRegistry;
  readonly shadow?: Readonly<Record<string, ShadowPolicy>>;
  /** Time of the shadow runs, if it is another. */
  readonly shadowTime?: Time;
  /** Called when a shadow run has ended or was skipped. */
  readonly onShadow?: () => void;
  /** Time after which a key counts as abandoned by its holder. */
  readonly leftBehindMs?: number;
}

export const USAGE: Usage = { ...ZERO_USAGE, input_tokens: 3, output_tokens: 2, total_tokens: 5 };

export class TurnHarness {
  readonly faults = new Faults();
  readonly state: State;
  readonly room: TurnRoom;
  readonly turns: TurnService;
  readonly reader: ResponseReader;
  readonly hub: FollowHub;
  readonly log = new LinesLog();
  readonly metrics = new Metrics({ prefix: 'test_', version: '0' });
  readonly drain = new DrainState();
  readonly sweep: OrphanSweep;
  readonly contexts: TurnContexts;
  readonly report: TurnReport;
  readonly provider: Provider;
  readonly plain: State;

  constructor(options: HarnessOptions = {}) {
    this.plain =
      options.beside?.plain ??
      memoryState({
        ttlMs: 3_600_000,
        maxItems: 100,
        ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
        ...(options.time === undefined ? {} : { time: options.time }),
      });
    const { faults, plain } = this;
    const time = options.time ?? systemTime;
    const events = endingInSteps(faults.wrap(plain.events), faults.wrap(plain.responses));
    this.state = {
      ...plain,
      events,
      exit: new ConversationExit(events, faults.wrap(plain.conversations)),
      lease: faults.wrap(plain.lease),
      claim: faults.wrap(plain.claim),
      entry: new ConversationEntry(faults.wrap(plain.claim), faults.wrap(plain.conversations)),
      announcements: faults.wrap(plain.announcements),
      conversations: faults.wrap(plain.conversations),
      responses: faults.wrap(plain.responses),
      keys: faults.wrap(plain.keys),
    };
    const { events: log, lease, claim, entry, announcements, conversations, responses, keys } = this.state;
    this.hub = new FollowHub({ events: plain.events, time });
    this.reader = new ResponseReader(plain.events, this.hub, plain.responses, { time });
    const seal = new SummarySeal('s'.repeat(32));
    this.contexts = new TurnContexts(conversations, responses, {
      seal,
      exit: this.state.exit,
      windowItems: options.windowItems ?? 50,
      kept: { maxItems: 100, maxBytes: options.maxBytes ?? 1_000_000 },
    });
    this.report = new TurnReport(this.log, this.metrics);
    this.provider = options.provider ?? new ScriptedProvider(options.answers ?? [[say('Hello'), say(' there')]]);
    const admission = new Admission(
      { ...POLICY, maxItemBytes: options.maxBytes ?? POLICY.maxItemBytes, ...options.policy },
      {
        prompts: options.prompts ?? new PromptRegistry([]),
        conversations,
        responses,
        events: log,
        media: mediaCheck(),
        seal,
      },
    );
    this.room = new TurnRoom({ turns: 1_000, bytes: 1e9, lagging: () => false, ...options.room });
    const accounting = { estimate: () => Promise.resolve(USAGE), cost: () => 0.5, ...options.accounting };
    const limits = new TurnLimits(this.plain.limiter, { ...NO_LIMITS, ...options.limits }, (model, usage) =>
      accounting.cost(model, usage, null),
    );
    const guards = new TurnGuards(options.guardrails ?? []);
    const gate = options.gate ?? { enter: () => Promise.resolve(FREE_PLACE) };
    const { report, provider, drain } = this;
    const counting: ShadowParts['report'] = {
      shadowed: (...run) => {
        report.shadowed(...run);
        options.onShadow?.();
      },
      shadowSkipped: (...skip) => {
        report.shadowSkipped(...skip);
        options.onShadow?.();
      },
    };
    const lagging = options.room?.lagging ?? (() => false);
    const shadows = new ShadowRuns(
      options.shadow ?? {},
      { admission, guards, provider, gate, accounting, report: counting, drain, lagging },
      options.shadowTime ?? time,
    );
    this.turns = new TurnService(
      {
        admission,
        compaction: { apply: (_turn, context) => Promise.resolve(context) },
        room: this.room,
        limits,
        index: this.plain.index,
        events: log,
        lease,
        claim,
        entry,
        announcements,
        reader: new ResponseReader(log, this.hub, responses, { time }),
        idempotency: new Idempotency(keys, options.leftBehindMs, time),
        contexts: this.contexts,
        guards,
        provider: this.provider,
        gate,
        settlement: new Settlement(this.contexts, accounting),
        shadows,
        report: this.report,
        tracing: NO_TRACING,
        clock: new FlushClock({ maxWindowMs: 0, time }),
        drain: this.drain,
      },
      { maxWaiting: options.maxWaiting ?? 8, windowItems: options.windowItems ?? 50, time },
    );
    this.sweep = new OrphanSweep({
      events: log,
      lease,
      claim,
      announcements,
      responses,
      contexts: this.contexts,
      logger: this.log,
      accounting,
      limits,
      time,
      onEnded: (response) => this.report.adopted(response),
    });
  }

  async conversation(items: readonly Item[] = []): Promise<string> {
    const id = `conv_${crypto.randomUUID()}`;
    await this.plain.conversations.create(
      { id, owner: ALICE.owner, createdAt: 0, updatedAt: 0, metadata: {} },
      items.map((item) => ({ item, responseId: null, withheld: false })),
    );
    return id;
  }

  /** Creates a turn and waits until no turn runs on this replica. */
  async play(request: ResponseRequest, caller = ALICE): Promise<string> {
    const { responseId } = await this.turns.create(caller, request, ORIGIN);
    await this.turns.whenIdle();
    return responseId;
  }

  async events(responseId: string): Promise<ResponseEvent[]> {
    const page = await this.plain.events.read(responseId, -1, 100_000);
    const events = page?.events ?? [];
    for (const [i, event] of events.entries()) {
      if (event.sequence !== i) throw new Error(`event ${event.sequence} is in the place of ${i}`);
    }
    return events.map(parseLogged);
  }

  async types(responseId: string): Promise<string[]> {
    return (await this.events(responseId)).map(({ type }) => type.replace('response.', ''));
  }

  /** Texts of a conversation's items in order, withheld ones in brackets. */
  async texts(conversation: string): Promise<string[]> {
    const items = await this.plain.conversations.recentItems(conversation, 100);
    return items.map(({ item, withheld }) => {
      const text =
        item.type === 'message'
          ? item.content
              .map((part) => (part.type === 'refusal' ? part.refusal : 'text' in part ? part.text : `<${part.type}>`))
              .join('|')
          : item.type;
      return withheld ? `[${text}]` : text;
    });
  }

  async metric(series: string): Promise<number> {
    const lines = (await this.metrics.render()).split('\n');
    const line = lines.find((candidate) => candidate.startsWith(`test_${series} `));
    return line === undefined ? 0 : Number(line.split(' ').at(-1));
  }

  async close(): Promise<void> {
    this.hub.close();
    await this.plain.close();
  }
}
