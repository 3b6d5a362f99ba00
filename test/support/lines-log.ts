/* A log that keeps its lines, for tests of what an operator reads. */

import { Log, type LogFields } from '../../src/observability/log.js';

export class LinesLog extends Log {
  readonly lines: { readonly level: string; readonly message: string; readonly fields: LogFields }[] = [];
  override debug = (fields: LogFields, message: string): void =>
    void this.lines.push({ level: 'debug', message, fields });
  override info = (fields: LogFields, message: string): void =>
    void this.lines.push({ level: 'info', message, fields });
  override warn = (fields: LogFields, message: string): void =>
    void this.lines.push({ level: 'warn', message, fields });
  override error = (fields: LogFields, message: string): void =>
    void this.lines.push({ level: 'error', message, fields });
  override child(): Log {
    return this;
  }
}
