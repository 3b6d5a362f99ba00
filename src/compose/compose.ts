/*
 * Builds the gateway from its configuration. Each part is constructed here, once, with its
 * dependencies, in the order of the layers. Starts nothing.
 */

import { type AppConfig } from '../config/schema.js';
import { type Authenticator } from '../auth/authenticator.js';
import { OriginPolicy } from '../auth/origin.js';
import { Revocations } from '../auth/revocations.js';
import { type ClientSecrets } from '../auth/secrets/client-secrets.js';
import { CLOSE_CODES } from '../protocol/socket/close-codes.js';
import { OpenAnswers } from '../rest/open-answers.js';
import { ConnectionTable } from '../gateway/connection-table.js';
import { type SocketSettings } from '../gateway/settings.js';
import { Overload } from '../lifecycle/overload.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { BUILD } from '../observability/build.js';
import { droppedSpans } from '../observability/dropped-spans.js';
import { NO_TRACING, type Tracing } from '../observability/tracing.js';
import { estimateUsage } from '../provider/estimate-usage.js';
import { FollowHub } from '../state/follow/follow-hub.js';
import { composeAuthenticator, composeClientSecrets } from './authentication.js';
import { composeJudges } from './judges.js';
import { composeProviders } from './providers.js';
import { openState } from './open-state.js';
import { openPrompts } from './prompts.js';
import {
  admissionPolicy,
  limitClasses,
  limitSettings,
  operationsOfClasses,
  mediaPolicy,
  roomOptions,
  shadowPolicies,
  socketSettings as socketSettingsFrom,
} from './settings.js';
import { type Outage } from '../state/outage.js';
import { type State } from '../state/state.js';
import { type PromptCatalog } from '../templating/prompt-catalog.js';
import { Admission } from '../turn/admission.js';
import { OrphanSweep } from '../turn/orphan-sweep.js';
import { FlushClock } from '../turn/flush-clock.js';
import { Conversations } from '../turn/conversations.js';
import { MediaCheck } from '../turn/media-check.js';
import { DrainState } from '../turn/drain-state.js';
import { TurnGuards } from '../turn/turn-guards.js';
import { TurnLimits } from '../turn/turn-limits.js';
import { ConnectionLimits } from '../turn/connection-limits.js';
import { OperationLimits } from '../turn/operation-limits.js';
import { Compaction } from '../turn/compaction.js';
import { SummarySeal } from '../turn/summary-seal.js';
import { TurnContexts } from '../turn/turn-context.js';
import { TurnReport } from '../turn/turn-report.js';
import { Idempotency } from '../turn/idempotency.js';
import { InputTokens } from '../turn/input-tokens.js';
import { ResponseReader } from '../turn/response-reader.js';
import { type Accounting } from '../turn/accounting.js';
import { Settlement } from '../turn/settlement.js';
import { ShadowRuns } from '../turn/shadow-runs.js';
import { TurnRoom } from '../turn/turn-room.js';
import { UserData } from '../turn/user-data.js';
import { TurnService } from '../turn/turn.service.js';
import { configuredGuardrails } from '../validation/configured-guardrails.js';

export interface GatewayParts {
  readonly drain: DrainState;
  readonly state: State;
  readonly outage: Outage;
  readonly turns: TurnService;
  readonly report: TurnReport;
  readonly reader: ResponseReader;
  readonly inputTokens: InputTokens;
  readonly seal: SummarySeal;
  readonly conversations: Conversations;
  readonly operations: OperationLimits;
  readonly connectionLimits: ConnectionLimits;
  readonly overload: Overload;
  readonly prompts: PromptCatalog;
  readonly sweep: OrphanSweep;
  readonly hub: FollowHub;
  readonly authenticator: Authenticator;
  readonly secrets: ClientSecrets;
  readonly userData: UserData;
  readonly revocations: Revocations;
  readonly origins: OriginPolicy;
  readonly table: ConnectionTable;
  readonly answers: OpenAnswers;
  readonly socketSettings: SocketSettings;
  /** Closes the connections to providers. */
  readonly closeProviders: () => Promise<void>;
  readonly tracing: Tracing;
}

/** @throws PackLoadError, GuardrailMistake, SluiceError (the default prompt is not loaded) */
export async function compose(config: AppConfig, logger: Log, metrics: Metrics): Promise<GatewayParts> {
  const drain = new DrainState();
  countDrainSeconds(drain, metrics);
  const { state, outage } = await openState(config, logger, metrics);
  const hub = new FollowHub({
    events: state.events,
    hooks: {
      gapHealed: () => metrics.of.gaps_healed_total.inc(),
      tailFound: () => metrics.of.tail_finds_total.inc(),
      viewers: (by) => metrics.of.viewers.inc(by),
    },
  });
  const report = new TurnReport(logger, metrics);
  const reader = new ResponseReader(state.events, hub, state.responses, { onFollowed: report.followed });

  const clock = new FlushClock({ maxWindowMs: config.batch.max_window });
  const scheduleRead = (read: () => void): boolean => clock.scheduleRead(read);
  const providers = await composeProviders(config, { state, logger, metrics, scheduleRead });
  const guards = new TurnGuards(configuredGuardrails(config), {
    judges: composeJudges(config, providers, { logger, metrics }),
    holdMax: config.middleware.validator.hold_max,
  });
  const prompts = await openPrompts(config, guards, logger, metrics);
  const seal = new SummarySeal(config.compaction.key?.reveal() ?? null);
  const contexts = new TurnContexts(state.conversations, state.responses, {
    seal,
    exit: state.exit,
    windowItems: config.middleware.state.max_messages,
    kept: { maxItems: config.state.max_messages, maxBytes: config.state.max_bytes },
  });
  const media = new MediaCheck(mediaPolicy(config, providers.takes));
  const admission = new Admission(admissionPolicy(config), {
    prompts,
    media,
    seal,
    conversations: state.conversations,
    responses: state.responses,
    events: state.events,
  });
  const accounting: Accounting = {
    estimate: estimateUsage,
    cost: (model, usage, name) => {
      providers.countUnpriced(model, usage, name);
      return providers.cost(model, usage, name);
    },
  };
  const settlement = new Settlement(contexts, accounting);
  const limits = new TurnLimits(
    state.limiter,
    limitSettings(config),
    (model, usage) => providers.cost(model, usage, null),
    limitClasses(config),
  );
  const tracing = await openTracing(config, logger, metrics);
  const room: TurnRoom = new TurnRoom({ ...roomOptions(config), lagging: () => overload.lagging });
  const overload: Overload = new Overload(room, OVERLOAD);
  const shadows = new ShadowRuns(shadowPolicies(config), {
    admission,
    guards,
    provider: providers.provider,
    gate: providers.gate,
    accounting,
    report,
    drain,
    lagging: () => overload.lagging,
  });
  const turns = new TurnService(
    {
      admission,
      room,
      limits,
      events: state.events,
      lease: state.lease,
      claim: state.claim,
      entry: state.entry,
      index: state.index,
      announcements: state.announcements,
      reader,
      idempotency: new Idempotency(state.keys),
      contexts,
      guards,
      provider: providers.provider,
      compaction: new Compaction({
        seal,
        guards,
        provider: providers.provider,
        estimate: estimateUsage,
        windowItems: config.middleware.state.max_messages,
      }),
      gate: providers.gate,
      settlement,
      shadows,
      report,
      tracing,
      clock,
      drain,
    },
    {
      maxWaiting: config.conversations.busy === 'reject' ? 0 : config.conversations.max_waiting,
      windowItems: config.middleware.state.max_messages,
    },
  );
  const sweep = new OrphanSweep({
    events: state.events,
    lease: state.lease,
    claim: state.claim,
    announcements: state.announcements,
    responses: state.responses,
    contexts,
    logger,
    accounting,
    limits,
    onEnded: (response) => report.adopted(response),
  });

  const socketSettings = socketSettingsFrom(config);
  const table = new ConnectionTable(socketSettings, metrics);
  const answers = new OpenAnswers();
  // Send clients away: this replica cannot serve them, another may reach the store.
  outage.onLong(() => void table.sendAway(CLOSE_CODES.tryAgainLater, 'state store away', SPREAD_CLOSES_MS));
  const authenticator = await composeAuthenticator(config, { logger, metrics, state });
  return {
    drain,
    state,
    outage,
    turns,
    report,
    reader,
    seal,
    inputTokens: new InputTokens({ admission, contexts, guards, estimate: estimateUsage }),
    conversations: new Conversations({
      store: state.conversations,
      claim: state.claim,
      events: state.events,
      allowInstructions: config.clients.allow.instructions,
      allowHistory: config.clients.allow.history,
      responses: state.responses,
      maxItemBytes: config.state.max_bytes,
      media,
    }),
    connectionLimits: new ConnectionLimits({
      perUser: config.limits.connections_per_user,
      perAddress: config.limits.connections_per_address,
      onRefused: (limit) => metrics.of.connections_refused_total.inc({ limit }),
    }),
    operations: new OperationLimits({
      perMinute: config.limits.per_user.operations_per_minute,
      perMinuteOf: operationsOfClasses(config),
      onRefused: () => metrics.of.operations_refused_total.inc(),
    }),
    overload,
    prompts,
    sweep,
    hub,
    authenticator,
    userData: new UserData(state),
    secrets: composeClientSecrets(config, state, prompts),
    revocations: new Revocations(state.credentials, {
      onRevoked: async ({ secrets, owners }, isValid) => {
        await table.closeRevoked(secrets, owners, isValid);
        await answers.endRevoked(secrets, owners, isValid);
      },
    }),
    origins: new OriginPolicy({
      allowedOrigins: config.auth.allowed_origins,
      loopbackOnly: ['127.0.0.1', '::1', 'localhost'].includes(config.app.host),
    }),
    table,
    answers,
    socketSettings,
    closeProviders: providers.close,
    tracing,
  };
}

/** Opens tracing. Loads the library only if tracing is enabled. */
async function openTracing(
  { app, monitoring: { tracing } }: AppConfig,
  logger: Log,
  metrics: Metrics,
): Promise<Tracing> {
  if (!tracing.enabled || tracing.endpoint === null) return NO_TRACING;
  const { OtlpTracing } = await import('../observability/otlp-tracing.js');
  const { endpoint, sample_ratio: sampleRatio } = tracing;
  const onDropped = droppedSpans(endpoint, logger, metrics);
  const service = { ...app, ...BUILD, deployment: app.version };
  return new OtlpTracing({ endpoint, sampleRatio, service, onDropped });
}

/** Lag of the event loop from which on the replica refuses turns. */
const OVERLOAD = { maxLagMs: 500, averageOverMs: 3_000 } as const;

/** Milliseconds over which the sockets are closed after a long outage of the state store. */
const SPREAD_CLOSES_MS = 5_000;

function countDrainSeconds(drain: DrainState, metrics: Metrics): void {
  drain.onDraining(() => {
    const since = performance.now();
    const sample = (): void => metrics.of.draining_seconds.set((performance.now() - since) / 1_000);
    setInterval(sample, 1_000).unref();
  });
}
