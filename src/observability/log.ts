/*
 * The interface of the operator's log, without a logging library. Fields hold ids, counts and
 * durations, never message text.
 */

export type LogFields = Readonly<Record<string, unknown>>;

/** The operator's log. Errors go into the field `err`. */
export abstract class Log {
  /** Whether debug lines are written. Check it where their fields cost something to create. */
  get debugs(): boolean {
    return true;
  }

  abstract debug(fields: LogFields, message: string): void;
  abstract info(fields: LogFields, message: string): void;
  abstract warn(fields: LogFields, message: string): void;
  abstract error(fields: LogFields, message: string): void;
  /** Returns a log that adds `fields` to every line. */
  abstract child(fields: LogFields): Log;
}
