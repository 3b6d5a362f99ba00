/*
 * Lowers Nest's own info lines to debug: they concern its wiring at start. Warnings and errors keep
 * their level.
 */

import { type LoggerService } from '@nestjs/common';

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
