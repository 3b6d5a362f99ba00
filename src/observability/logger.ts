/*
 * The log of the process: pino, configured from the file, behind the interface that all other code
 * uses.
 */

import pino from 'pino';
import { type prettyFactory } from 'pino-pretty';
import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { isNativeError } from 'node:util/types';
import { type AppConfig } from '../config/schema.js';
import { type Secret } from '../config/secret.js';
import { HIDDEN_FIELDS, lineScrubber, loggedError, redactFields, redactValue } from './redact.js';
import { Log, type LogFields } from './log.js';

export interface LoggerSettings {
  readonly logging: AppConfig['monitoring']['logging'];
  /** Fields of every line: name, version, environment, replica. */
  readonly base?: LogFields;
  /** Secrets that must not appear in any line, also not in lines of libraries. */
  readonly secrets?: readonly Secret[];
  /** Destination of lines instead of stdout or stderr. */
  readonly destination?: pino.DestinationStream;
}

/**
 * Builds pino's options: levels by name, ISO times, errors without foreign messages, secrets
 * removed from every line.
 */
function loggerOptions({ logging, base = {}, secrets = [] }: LoggerSettings): pino.LoggerOptions {
  return {
    level: logging.level,
    base: { ...base },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: {
      level: (label) => ({ level: label }),
      log: (fields) => redactFields(fields),
    },
    serializers: {
      err: (thrown: unknown) => loggedError(thrown),
      error: (thrown: unknown) => (isNativeError(thrown) ? loggedError(thrown) : thrown),
      ...Object.fromEntries(HIDDEN_FIELDS.map((name) => [name, hideObject])),
    },
    hooks: {
      streamWrite: lineScrubber(secrets),
      // Without a message pino would use the error's own and bypass the serializer.
      logMethod(args, method) {
        const [first, message] = args as readonly unknown[];
        const thrown = isNativeError(first) ? first : hasError(first) ? first.err : undefined;
        if (thrown === undefined || message !== undefined) method.apply(this, redactInserted(args));
        else method.apply(this, [isNativeError(first) ? { err: first } : first, 'unexpected error']);
      },
    },
  };
}

/** An expected error, which has no stack. */
const EXPECTED = /"err":\{"type":"SluiceError",(?!.*"stack":)/;

export function createPino(settings: LoggerSettings): pino.Logger {
  const { format, output } = settings.logging;
  const descriptor = output === 'stdout' ? 1 : 2;
  // Write synchronously, so that no line before an exit is lost.
  const target = settings.destination ?? pino.destination({ dest: descriptor, sync: true });
  if (format === 'json') return redactingChildren(pino(loggerOptions(settings), target));
  const own = Object.keys(settings.base ?? {});
  const pretty = {
    colorize: settings.destination === undefined && isatty(descriptor),
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  };
  const { prettyFactory } = loadPretty();
  const whole = prettyFactory({ ...pretty, ignore: own.join(',') });
  // The pretty format writes expected errors on one line.
  const brief = prettyFactory({ ...pretty, ignore: own.join(','), errorLikeObjectKeys: [] });
  const write = (line: string): void => void target.write((EXPECTED.test(line) ? brief : whole)(line));
  return redactingChildren(pino(loggerOptions(settings), { write }));
}

/** Loads the library only for the pretty format. It is a CommonJS module. */
function loadPretty(): { readonly prettyFactory: typeof prettyFactory } {
  return createRequire(import.meta.url)('pino-pretty') as { readonly prettyFactory: typeof prettyFactory };
}

/** Redacts the fields of children, which pino does not pass to its formatters. */
function redactingChildren(logger: pino.Logger): pino.Logger {
  const { child } = logger;
  // Children inherit this method, and it must make children of them.
  logger.child = function redacted<L extends string>(this: pino.Logger, fields: pino.Bindings, ...options: unknown[]) {
    const made: unknown = Reflect.apply(child, this, [redactFields(fields), ...options]);
    return made as pino.Logger<L>;
  };
  return logger;
}

/**
 * Keeps whole requests, responses and headers out of the log. An id under such a name is logged.
 */
function hideObject(value: unknown): unknown {
  return typeof value === 'object' ? '[object, not logged]' : value;
}

/** Redacts values that a library inserts into its message (`%j`). */
function redactInserted<T extends unknown[]>(args: T): T {
  const plain = args.every((value, i) => i === 0 || typeof value !== 'object');
  // The values keep their places.
  return plain ? args : (args.map((value: unknown, i) => (i === 0 ? value : redactValue(value))) as T);
}

function hasError(value: unknown): value is { readonly err: Error } {
  return typeof value === 'object' && value !== null && 'err' in value && isNativeError(value.err);
}

/** The log interface on top of pino. */
export class PinoLog extends Log {
  readonly #pino: pino.Logger;

  constructor(logger: pino.Logger) {
    super();
    this.#pino = logger;
  }

  override get debugs(): boolean {
    return this.#pino.isLevelEnabled('debug');
  }

  override debug(fields: LogFields, message: string): void {
    this.#pino.debug(fields, message);
  }

  override info(fields: LogFields, message: string): void {
    this.#pino.info(fields, message);
  }

  override warn(fields: LogFields, message: string): void {
    this.#pino.warn(fields, message);
  }

  override error(fields: LogFields, message: string): void {
    this.#pino.error(fields, message);
  }

  override child(fields: LogFields): Log {
    return new PinoLog(this.#pino.child(fields));
  }
}
