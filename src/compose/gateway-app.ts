/*
 * The application: Nest on Fastify with Sluice's own socket adapter. Used by main and by tests,
 * which call `listen` themselves.
 */

import { fileURLToPath } from 'node:url';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger } from 'nestjs-pino';
import { type Logger as PinoLogger } from 'pino';
import { nestLog } from '../observability/observability.module.js';
import { type AuditOutput, openAudit } from './audit.js';
import { AppModule } from './app.module.js';
import { compose, type GatewayParts } from './compose.js';
import { type AppConfig } from '../config/schema.js';
import { asSluiceError } from '../domain/errors.js';
import { RefusedUpgrades } from '../gateway/refused-upgrades.js';
import { SocketAdapter } from '../gateway/socket-adapter.js';
import { clientAddress, isTrustedProxy } from '../gateway/client-address.js';
import { UPGRADE_AUDIT } from '../gateway/event-audit.js';
import { acceptUpgrade, refuseUpgrade, upgradeCaller } from '../gateway/upgrade.js';
import { Drain } from '../lifecycle/drain.js';
import { OpsServer } from '../lifecycle/ops-server.js';
import { BUILD } from '../observability/build.js';
import { type Log } from '../observability/log.js';
import { PinoLog } from '../observability/logger.js';
import { metricPrefix, Metrics } from '../observability/metrics.js';
import { BodyRoom } from '../rest/body-room.js';
import { senderOf } from '../rest/caller.js';
import { corsOptions } from '../rest/cors.js';
import { ErrorFilter } from '../rest/error.filter.js';
import { HttpConnections } from '../rest/http-connections.js';
import { httpServerOptions, prepareHttp } from '../rest/http-server.js';
import { RefusalBudget } from '../rest/refusal-budget.js';
import { servePlayground } from '../rest/playground.js';
import { bodyBytesOf, gateRequests, type RequestGateParts } from '../rest/request-gate.js';
import { RouteTable } from '../rest/route-table.js';

/** How often expired leases are looked for, in milliseconds. */
const SWEEP_EVERY_MS = 1_000;

export interface Gateway {
  readonly app: NestFastifyApplication;
  readonly parts: GatewayParts;
  readonly drain: Drain;
  readonly ops: OpsServer;
  readonly audit: AuditOutput | null;
  readonly metrics: Metrics;
  readonly logger: Log;
}

export interface GatewayOptions {
  /** Folder of the built playground and browser client. */
  readonly clientDirectory?: string;
}

/** The folder beside the compiled program. */
const CLIENT_DIRECTORY = fileURLToPath(new URL('../client/', import.meta.url));

export async function createGateway(
  config: AppConfig,
  pino: PinoLogger,
  options: GatewayOptions = {},
): Promise<Gateway> {
  const metrics = new Metrics({ prefix: metricPrefix(config.app.name), ...BUILD, deployment: config.app.version });
  const logger = new PinoLog(pino);
  const audit = openAudit(config, logger, metrics);
  const parts = await compose(config, logger, metrics);
  const module = await AppModule.forRoot({ ...parts, audit, config, pino, logger, metrics });
  const adapter = new FastifyAdapter(
    httpServerOptions({
      maxBodyBytes: config.http.max_body_bytes,
      requestTimeoutMs: config.http.request_timeout,
      trustedProxies: config.http.trusted_proxies,
    }),
  );
  const routes = new RouteTable();
  prepareHttp(adapter.getInstance(), routes, config.http.hsts);
  const gate = requestGate(config, { ...parts, audit }, routes, metrics);
  gateRequests(adapter.getInstance(), gate);
  if (config.app.playground) servePlayground(adapter.getInstance(), options.clientDirectory ?? CLIENT_DIRECTORY);
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    bodyParser: false,
    bufferLogs: true,
    abortOnError: false,
  });
  app.useGlobalFilters(
    new ErrorFilter({
      logger,
      routes,
      refused: (request) => parts.report.refused(request),
      refusedOther: ({ code }) => metrics.of.refusals_total.inc({ code }),
      mistake: (request) => gate.refusals.count(senderOf(request), bodyBytesOf(request, config.http.max_body_bytes)),
    }),
  );
  app.enableCors(corsOptions(parts.origins));
  app.useLogger(nestLog(app.get(Logger)));
  const { authenticator, origins, drain, table, outage, connectionLimits: limits } = parts;
  const addressOf = clientAddress(config.http.trusted_proxies);
  const checkConnection = gate.connections.check.bind(gate.connections);
  const whenClosed = gate.connections.whenClosed.bind(gate.connections);
  const upgrade = { authenticator, origins, drain, table, outage, limits, checkConnection, whenClosed, addressOf };
  const refusedUpgrades = new RefusedUpgrades(logger);
  app.useWebSocketAdapter(
    new SocketAdapter(app, {
      maxMessageBytes: config.websocket.max_message_bytes,
      accept: (request, path) => acceptUpgrade(request, path, upgrade),
      refuse: (socket, thrown, request) => {
        const outcome = asSluiceError(thrown);
        const [address, caller] = [addressOf(request), upgradeCaller(request)];
        refusedUpgrades.add(outcome, address ?? '');
        audit?.log.write({ rule: UPGRADE_AUDIT, operation: 'upgrade', caller, address, outcome });
        refuseUpgrade(socket, thrown, metrics);
      },
    }),
  );
  // Sweep also with state in memory: the sweep ends turns that broke.
  parts.sweep.start(SWEEP_EVERY_MS);
  parts.revocations.start();
  return { app, parts, drain: app.get(Drain), ops: app.get(OpsServer), audit, metrics, logger };
}

function requestGate(
  { http, limits }: AppConfig,
  parts: GatewayParts & { readonly audit: AuditOutput | null },
  routes: RouteTable,
  { of }: Metrics,
): RequestGateParts {
  const { authenticator, origins, answers } = parts;
  return {
    authenticator,
    origins,
    audit: parts.audit?.log ?? null,
    routes,
    refusals: new RefusalBudget({ perMinute: limits.refusals_per_minute }),
    bodies: new BodyRoom({
      maxBytes: http.max_receiving_bytes,
      onChange: (bytes) => of.http_receiving_bytes.set(bytes),
    }),
    connections: new HttpConnections({
      max: limits.connections,
      maxPerAddress: limits.connections_per_address,
      isProxy: isTrustedProxy(http.trusted_proxies),
      onRefused: () => of.connections_refused_total.inc({ limit: 'address' }),
      onChange: (connections) => of.http_connections.set(connections),
    }),
    answers,
    maxBodyBytes: http.max_body_bytes,
  };
}
