/*
 * The Nest module: provides the parts of the gateway, which compose.ts builds, to the classes that
 * Nest constructs and calls.
 */

import { type DynamicModule, Module } from '@nestjs/common';
import { HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { type Logger } from 'pino';
import { type GatewayParts } from './compose.js';
import { type AppConfig } from '../config/schema.js';
import { systemTime } from '../domain/time.js';
import { ChatGateway } from '../gateway/chat.gateway.js';
import { ConnectionParts } from '../gateway/connection-parts.js';
import { ConnectionTable } from '../gateway/connection-table.js';
import { FlushRound } from '../gateway/flush-round.js';
import { FrameRounds } from '../gateway/frame-rounds.js';
import { UnstoredRoom } from '../turn/unstored-responses.js';
import { Drain, DRAIN_TIMES } from '../lifecycle/drain.js';
import { OpsServer } from '../lifecycle/ops-server.js';
import { Overload } from '../lifecycle/overload.js';
import { Readiness } from '../lifecycle/readiness.js';
import { systemAfter, withDeadline } from '../lifecycle/with-deadline.js';
import { type AuditOutput } from './audit.js';
import { NO_AUDIT } from '../observability/audit.js';
import { Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { ObservabilityModule } from '../observability/observability.module.js';
import { Authenticator } from '../auth/authenticator.js';
import { OriginPolicy } from '../auth/origin.js';
import { ClientSecrets } from '../auth/secrets/client-secrets.js';
import { ChatCompletionsController } from '../rest/chat-completions.controller.js';
import { ClientSecretsController } from '../rest/client-secrets.controller.js';
import { ConversationsController } from '../rest/conversations.controller.js';
import { ModelList, ModelsController } from '../rest/models.controller.js';
import { PromptList, PromptsController } from '../rest/prompts.controller.js';
import { CompactController } from '../rest/compact.controller.js';
import { InputTokensController } from '../rest/input-tokens.controller.js';
import { ResponsesController } from '../rest/responses.controller.js';
import { RestTimes } from '../rest/rest-times.js';
import { UsersController } from '../rest/users.controller.js';
import { ConnectionLimits } from '../turn/connection-limits.js';
import { Conversations } from '../turn/conversations.js';
import { OperationLimits } from '../turn/operation-limits.js';
import { ResponseReader } from '../turn/response-reader.js';
import { InputTokens } from '../turn/input-tokens.js';
import { SummarySeal } from '../turn/summary-seal.js';
import { TurnService } from '../turn/turn.service.js';
import { UserData } from '../turn/user-data.js';

const STATE_PING_TIMEOUT_MS = 1_000;

export interface AppParts extends GatewayParts {
  readonly config: AppConfig;
  readonly pino: Logger;
  readonly logger: Log;
  readonly metrics: Metrics;
  readonly audit: AuditOutput | null;
}

@Module({})
export class AppModule {
  static async forRoot(parts: AppParts): Promise<DynamicModule> {
    const { config, pino, metrics } = parts;
    return {
      module: AppModule,
      imports: [
        await ObservabilityModule.forRoot({ logger: pino, metrics }),
        TerminusModule.forRoot({ logger: false }),
      ],
      controllers: [
        ResponsesController,
        InputTokensController,
        CompactController,
        ConversationsController,
        ChatCompletionsController,
        ModelsController,
        PromptsController,
        ClientSecretsController,
        UsersController,
      ],
      providers: [
        { provide: TurnService, useValue: parts.turns },
        { provide: ResponseReader, useValue: parts.reader },
        { provide: SummarySeal, useValue: parts.seal },
        { provide: InputTokens, useValue: parts.inputTokens },
        { provide: OperationLimits, useValue: parts.operations },
        { provide: ConnectionLimits, useValue: parts.connectionLimits },
        { provide: Conversations, useValue: parts.conversations },
        { provide: Authenticator, useValue: parts.authenticator },
        { provide: UserData, useValue: parts.userData },
        { provide: ClientSecrets, useValue: parts.secrets },
        { provide: OriginPolicy, useValue: parts.origins },
        { provide: RestTimes, useValue: restTimes(parts) },
        {
          provide: ModelList,
          useValue: new ModelList([config.provider.model, ...config.clients.models], Math.floor(Date.now() / 1_000)),
        },
        { provide: PromptList, useValue: promptList(parts) },
        { provide: ConnectionTable, useValue: parts.table },
        { provide: ConnectionParts, useValue: connectionParts(parts) },
        // Provide the class, not a factory: Nest finds gateways by the decorator on the class.
        ChatGateway,
        { provide: Overload, useFactory: () => parts.overload },
        {
          provide: Readiness,
          inject: [HealthCheckService, HealthIndicatorService, Overload],
          useFactory: (health: HealthCheckService, indicators: HealthIndicatorService, overload: Overload) =>
            new Readiness(health, indicators, parts.drain, parts.state, overload, {
              statePingTimeoutMs: STATE_PING_TIMEOUT_MS,
              onReport: (ready) => metrics.of.ready.set(ready ? 1 : 0),
              notes: () => (parts.prompts.refusal === null ? {} : { prompts: parts.prompts.refusal }),
            }),
        },
        {
          provide: OpsServer,
          inject: [Readiness],
          useFactory: (readiness: Readiness) => {
            const { enabled, host, port, path } = config.monitoring.metrics;
            return new OpsServer(readiness, enabled ? metrics : null, { host, port, metricsPath: path });
          },
        },
        {
          provide: Drain,
          inject: [Log],
          useFactory: (logger: Log) =>
            new Drain(parts.drain, parts.turns, parts.table, parts.answers, { close: () => closeAll(parts) }, logger, {
              ...DRAIN_TIMES,
              sharedState: config.state.type === 'redis',
              graceMs: config.app.shutdown_timeout,
            }),
        },
      ],
    };
  }
}

function restTimes({ config, answers }: AppParts): RestTimes {
  const { sse } = new RestTimes();
  return new RestTimes({
    sse: { ...sse, keepAliveMs: config.http.sse_keep_alive },
    interruptionOf: (answer) => answers.interruptionOf(answer),
  });
}

function promptList({ prompts, config }: AppParts): PromptList {
  const { default: standard } = config.middleware.template;
  return new PromptList(() => {
    const list = prompts.current.list();
    return { list, standard: standard === null || list.length === 0 ? null : prompts.find(standard) };
  });
}

function connectionParts(parts: AppParts): ConnectionParts {
  const { turns, reader, conversations, report, authenticator, operations, socketSettings, metrics, logger } = parts;
  return {
    turns,
    reader,
    conversations,
    claim: parts.state.claim,
    announcements: parts.state.announcements,
    report,
    authenticator,
    operations,
    audit: parts.audit?.log ?? NO_AUDIT,
    settings: socketSettings,
    metrics,
    logger,
    time: systemTime,
    round: new FlushRound(systemTime),
    rounds: new FrameRounds(systemTime),
    unstored: new UnstoredRoom(),
    cpuMs: threadCpuMs,
  };
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/**
 * How long a shutdown waits for a sweep, in milliseconds. Another replica takes over what the sweep
 * leaves.
 */
const SWEEP_STOP_MS = 250;

/**
 * Closes all connections concurrently, so that one that does not answer does not delay the others.
 */
async function closeAll(parts: AppParts): Promise<void> {
  const { sweep, revocations, closeProviders, tracing, hub, state, audit } = parts;
  const closeState = async (): Promise<void> => {
    revocations.stop();
    await withDeadline(sweep.stop(), SWEEP_STOP_MS, systemAfter);
    hub.close();
    await state.close();
  };
  const closed = await Promise.allSettled([closeProviders(), tracing.close(), closeState(), audit?.close()]);
  for (const result of closed) if (result.status === 'rejected') throw result.reason;
}
