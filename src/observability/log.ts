/* What may be asked of a log by code that knows no logging library. Fields hold ids, counts and durations, never message text. */

export type LogFields = Readonly<Record<string, unknown>>;

/** An error goes into the field `err`. */
export abstract class Log {
  abstract debug(fields: LogFields, message: string): void;
  abstract info(fields: LogFields, message: string): void;
  abstract warn(fields: LogFields, message: string): void;
  abstract error(fields: LogFields, message: string): void;
  /** A log that adds `fields` to every line. */
  abstract child(fields: LogFields): Log;
}
