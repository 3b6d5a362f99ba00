/* The application: Nest on Fastify with Sluice's own socket adapter. Made here for main and for tests alike; starts listening only when told. */

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
import { Log } from './observability/log.js';
import { PinoLog } from './observability/logger.js';
import { metricPrefix, Metrics } from './observability/metrics.js';

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

export async function createGateway(config: AppConfig, logger: PinoLogger): Promise<Gateway> {
  const metrics = new Metrics({ prefix: metricPrefix(config.app.name), version: config.app.version });
  const log = new PinoLog(logger);
  const parts = await compose(config, log, metrics);
  const module = await AppModule.forRoot({ ...parts, config, logger, log, metrics });
  const app = await NestFactory.create<NestFastifyApplication>(
    module,
    new FastifyAdapter({ forceCloseConnections: true }),
    {
      bufferLogs: true,
      abortOnError: false,
    },
  );
  app.useLogger(app.get(Logger));
  const { authenticator, origins, drain, table } = parts;
  app.useWebSocketAdapter(
    new SocketAdapter(app, {
      maxMessageBytes: config.websocket.max_message_bytes,
      accept: (request, path) => acceptUpgrade(request, path, { authenticator, origins, drain, table }),
      refuse: (socket, thrown) => refuseUpgrade(socket, thrown, metrics),
    }),
  );
  parts.sweep.start(SWEEP_EVERY_MS);
  return { app, parts, drain: app.get(Drain), ops: app.get(OpsServer), metrics, log };
}
