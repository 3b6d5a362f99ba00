/* Opens the audit log that the configuration describes. */

import { type AppConfig } from '../config/schema.js';
import { secretsIn } from '../config/secret.js';
import { type Audit } from '../observability/audit.js';
import { AuditLog } from '../observability/audit-log.js';
import { AuditSink } from '../observability/audit-sink.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { RareLine } from '../observability/rare-line.js';
import { lineScrubber } from '../observability/redact.js';

export interface AuditOutput {
  readonly log: Audit;
  /** Opens the file again, after a rotation. */
  reopen(): void;
  close(): Promise<void>;
}

const LINE_EVERY_MS = 10_000;

/**
 * @returns null if there is no audit log
 * @throws StartMistake if its file cannot be opened
 */
export function openAudit(
  config: AppConfig,
  logger: Pick<Log, 'error'>,
  metrics: Pick<Metrics, 'of'>,
): AuditOutput | null {
  const { app, monitoring } = config;
  const { output, refusals_per_minute: refusalsPerMinute } = monitoring.audit;
  if (output === null) return null;
  const sink = new AuditSink({ output, onDropped: droppedLines(output, logger, metrics) });
  const log = new AuditLog({
    write: (line) => sink.write(line),
    base: { app: app.name, environment: app.environment },
    scrub: lineScrubber(secretsIn(config)),
    refusalsPerMinute,
  });
  const close = async (): Promise<void> => {
    log.close();
    await sink.close();
  };
  return { log, reopen: () => sink.reopen(), close };
}

/** Counts each dropped line, and logs one line in ten seconds. */
function droppedLines(
  output: string,
  logger: Pick<Log, 'error'>,
  metrics: Pick<Metrics, 'of'>,
): (lines: number, reason: string) => void {
  const line = new RareLine(LINE_EVERY_MS);
  return (lines, reason) => {
    metrics.of.audit_lines_dropped_total.inc(lines);
    const unreported = line.count(lines);
    if (unreported !== undefined) logger.error({ output, reason, lines: unreported }, 'audit log not written');
  };
}
