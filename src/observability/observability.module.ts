/*
 * Provides the log and the metrics to Nest: nestjs-pino for Nest's own lines, nestjs-prometheus for
 * the registry. Serves no route.
 */

import { Controller, type DynamicModule, type LoggerService, Module } from '@nestjs/common';
import { LoggerModule } from 'nestjs-pino';
import { type Logger } from 'pino';
import { Log } from './log.js';
import { PinoLog } from './logger.js';
import { Metrics } from './metrics.js';

/**
 * How often prom-client samples the event loop, in milliseconds; its default of 10 would wake an
 * idle process a hundred times a second. The samples include this time.
 */
const EVENT_LOOP_EVERY_MS = 100;

/**
 * The module requires a controller. This one has no route, so that only the operations listener
 * serves /metrics.
 */
@Controller()
class NoRoutesController {}

export interface ObservabilityParts {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

@Module({})
export class ObservabilityModule {
  /**
   * Creates the global module: `Log` and `Metrics` can be injected everywhere, and
   * `app.get(Logger)` of nestjs-pino is Nest's log.
   */
  static async forRoot({ logger, metrics }: ObservabilityParts): Promise<DynamicModule> {
    // This CommonJS package requires Nest's ES modules. Load it after they have run: a loader may
    // refuse it while they are being evaluated.
    const { PrometheusModule } = await import('@willsoto/nestjs-prometheus');
    return {
      module: ObservabilityModule,
      global: true,
      imports: [
        PrometheusModule.register({
          controller: NoRoutesController,
          defaultMetrics: {
            enabled: true,
            config: {
              register: metrics.registry,
              prefix: metrics.prefix,
              eventLoopMonitoringPrecision: EVENT_LOOP_EVERY_MS,
            },
          },
        }),
        // TurnReport logs requests, so no route needs the logging middleware.
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

/**
 * Returns Nest's log with its own info lines lowered to debug: they concern its wiring at start.
 * Warnings and errors keep their level.
 */
export function nestLog(logger: LoggerService): LoggerService {
  const quiet = (message: unknown, ...more: unknown[]): void => logger.debug?.(message, ...more);
  return {
    log: quiet,
    debug: quiet,
    verbose: (message, ...more: unknown[]) => logger.verbose?.(message, ...more),
    warn: (message, ...more: unknown[]) => void logger.warn(message, ...more),
    error: (message, ...more: unknown[]) => void logger.error(message, ...more),
    fatal: (message, ...more: unknown[]) => logger.fatal?.(message, ...more),
  };
}
