/* The application: Nest on Fastify with Sluice's own socket adapter. Made here for main and for tests alike; starts listening only when told. */

import { fileURLToPath } from 'node:url';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Logger } from 'nestjs-pino';
import { type Logger as PinoLogger } from 'pino';
import { AppModule } from './app.module.js';
import { compose, type GatewayParts } from './compose.js';
import { type AppConfig } from './config/schema.js';
import { SocketAdapter } from './gateway/socket-adapter.js';
import { acceptUpgrade, refuseUpgrade } from './gateway/upgrade.js';
import { Drain } from './lifecycle/drain.js';
import { OpsServer } from './lifecycle/ops-server.js';
import { type Log } from './observability/log.js';
import { PinoLog } from './observability/logger.js';
import { metricPrefix, Metrics } from './observability/metrics.js';
import { nestLog } from './observability/nest-log.js';
import { corsOptions } from './rest/cors.js';
import { ErrorFilter } from './rest/error.filter.js';
import { httpServerOptions, prepareHttp } from './rest/http-server.js';
import { servePlayground } from './rest/playground.js';
import { RouteTable } from './rest/route-table.js';

/** How often the leases of lost replicas are looked for. */
const SWEEP_EVERY_MS = 1_000;

export interface Gateway {
  readonly app: NestFastifyApplication;
  readonly parts: GatewayParts;
  readonly drain: Drain;
  readonly ops: OpsServer;
  readonly metrics: Metrics;
  readonly log: Log;
}

export interface GatewayOptions {
  /** Where the built playground and browser client lie. */
  readonly clientDirectory?: string;
}

/** Beside the compiled program. */
const CLIENT_DIRECTORY = fileURLToPath(new URL('./client/', import.meta.url));

export async function createGateway(
  config: AppConfig,
  logger: PinoLogger,
  options: GatewayOptions = {},
): Promise<Gateway> {
  const metrics = new Metrics({ prefix: metricPrefix(config.app.name), version: config.app.version });
  const log = new PinoLog(logger);
  const parts = await compose(config, log, metrics);
  const module = await AppModule.forRoot({ ...parts, config, logger, log, metrics });
  const adapter = new FastifyAdapter(httpServerOptions(config.http.max_body_bytes));
  const routes = new RouteTable();
  prepareHttp(adapter.getInstance(), routes);
  servePlayground(adapter.getInstance(), options.clientDirectory ?? CLIENT_DIRECTORY);
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    bodyParser: false,
    bufferLogs: true,
    abortOnError: false,
  });
  app.useGlobalFilters(new ErrorFilter({ log, routes, refused: (request) => parts.report.refused(request) }));
  app.enableCors(corsOptions(parts.origins));
  app.useLogger(nestLog(app.get(Logger)));
  const { authenticator, origins, drain, table, outage } = parts;
  app.useWebSocketAdapter(
    new SocketAdapter(app, {
      maxMessageBytes: config.websocket.max_message_bytes,
      accept: (request, path) => acceptUpgrade(request, path, { authenticator, origins, drain, table, outage }),
      refuse: (socket, thrown) => refuseUpgrade(socket, thrown, metrics),
    }),
  );
  // Also with state in memory: a turn that broke is ended by the sweep.
  parts.sweep.start(SWEEP_EVERY_MS);
  return { app, parts, drain: app.get(Drain), ops: app.get(OpsServer), metrics, log };
}
