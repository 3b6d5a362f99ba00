/* The log of the process: pino, set up from the configuration, behind the small interface that all other code sees. */

import pino from 'pino';
import { prettyFactory } from 'pino-pretty';
import { isatty } from 'node:tty';
import { isNativeError } from 'node:util/types';
import { type AppConfig } from '../config/schema.js';
import { type Secret } from '../config/secret.js';
import { HIDDEN_FIELDS, REDACTED_PATHS, lineScrubber, loggedError } from './redact.js';
import { Log, type LogFields } from './log.js';

export interface LoggerSettings {
  readonly logging: AppConfig['monitoring']['logging'];
  /** Stand in every line: name, version, environment, replica. */
  readonly base?: LogFields;
  /** Secrets whose characters must not appear in any line, whoever wrote it. */
  readonly secrets?: readonly Secret[];
  /** Where lines go instead of stdout or stderr. */
  readonly destination?: pino.DestinationStream;
}

/** pino's options: levels by name, ISO times, errors reduced to what may be told, every line scrubbed before it is written. */
function loggerOptions({ logging, base = {}, secrets = [] }: LoggerSettings): pino.LoggerOptions {
  return {
    level: logging.level,
    base: { ...base },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: [...REDACTED_PATHS], censor: '[redacted]' },
    serializers: {
      err: (thrown: unknown) => loggedError(thrown),
      error: (thrown: unknown) => (isNativeError(thrown) ? loggedError(thrown) : thrown),
      ...Object.fromEntries(HIDDEN_FIELDS.map((name) => [name, hideObject])),
    },
    hooks: {
      streamWrite: lineScrubber(secrets),
      // Without a message pino would take the error's own, past the serializer.
      logMethod(args, method) {
        const [first, message] = args as readonly unknown[];
        const thrown = isNativeError(first) ? first : hasError(first) ? first.err : undefined;
        if (thrown === undefined || message !== undefined) method.apply(this, args);
        else method.apply(this, [isNativeError(first) ? { err: first } : first, 'something failed']);
      },
    },
  };
}

const FORESEEN = /"err":\{"type":"SluiceError",.*?"code":"(?!server_error)/;
const STACKS = ['err.stack', 'err.cause.stack', 'err.cause.cause.stack'] as const;

export function createPino(settings: LoggerSettings): pino.Logger {
  const { format, output } = settings.logging;
  const descriptor = output === 'stdout' ? 1 : 2;
  // Written at once: the last lines before an exit are those that are needed.
  const target = settings.destination ?? pino.destination({ dest: descriptor, sync: true });
  if (format === 'json') return pino(loggerOptions(settings), target);
  const own = Object.keys(settings.base ?? {});
  const pretty = {
    colorize: settings.destination === undefined && isatty(descriptor),
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  };
  const whole = prettyFactory({ ...pretty, ignore: own.join(',') });
  // A person needs no stack of an error that was foreseen; one line says it all.
  const brief = prettyFactory({ ...pretty, ignore: [...own, ...STACKS].join(','), errorLikeObjectKeys: [] });
  return pino(loggerOptions(settings), { write: (line) => target.write((FORESEEN.test(line) ? brief : whole)(line)) });
}

/** Whole requests, responses and headers stay out of the log; an id under such a name may stand. */
function hideObject(value: unknown): unknown {
  return typeof value === 'object' ? '[object, not logged]' : value;
}

function hasError(value: unknown): value is { readonly err: Error } {
  return typeof value === 'object' && value !== null && 'err' in value && isNativeError(value.err);
}

/** The log that code outside this folder takes. */
export class PinoLog extends Log {
  readonly #pino: pino.Logger;

  constructor(logger: pino.Logger) {
    super();
    this.#pino = logger;
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
