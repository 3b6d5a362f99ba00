/* Hands the log and the metrics to Nest: nestjs-pino for Nest's own lines, nestjs-prometheus for the registry. Serves no route itself. */

import { Controller, type DynamicModule, Module } from '@nestjs/common';
import { LoggerModule } from 'nestjs-pino';
import { type Logger } from 'pino';
import { Log } from './log.js';
import { PinoLog } from './logger.js';
import { Metrics } from './metrics.js';

/** The module insists on a controller; this one has no route, so that /metrics is on the operations listener only. */
@Controller()
class NoRoutesController {}

export interface ObservabilityParts {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

@Module({})
export class ObservabilityModule {
  /** Global: `Log` and `Metrics` can be injected everywhere, and `app.get(Logger)` of nestjs-pino is Nest's own log. */
  static async forRoot({ logger, metrics }: ObservabilityParts): Promise<DynamicModule> {
    // A CommonJS package that requires Nest's ES modules: loaded once those have run, since a loader may refuse it in the middle of them.
    const { PrometheusModule } = await import('@willsoto/nestjs-prometheus');
    return {
      module: ObservabilityModule,
      global: true,
      imports: [
        PrometheusModule.register({
          controller: NoRoutesController,
          defaultMetrics: { enabled: true, config: { register: metrics.registry, prefix: metrics.prefix } },
        }),
        // Request lines are written by whoever knows the turn, so no middleware on any route.
        LoggerModule.forRoot({ pinoHttp: { logger }, forRoutes: [] }),
      ],
      providers: [
        { provide: Log, useValue: new PinoLog(logger) },
        { provide: Metrics, useValue: metrics },
      ],
      exports: [Log, Metrics],
    };
  }
}
