/*
 * Describes a failed start: what failed, why, what to do, and an exit code of sysexits.h: 64 an
 * argument, 69 something is unavailable (a port, a newer Node, a service), 70 a bug, 77 not
 * permitted, 78 the configuration.
 */

import { ConfigError, EXIT_CONFIG, StartMistake } from '../config/config-error.js';
import { scrub } from '../config/secret.js';
import { SluiceError } from '../domain/errors.js';
import { PackLoadError } from '../templating/pack-mistake.js';
import { GuardrailMistake } from '../validation/guardrails/params.js';
import { EXIT_UNAVAILABLE } from './node-version.js';

const EXIT = {
  usage: 64,
  unavailable: EXIT_UNAVAILABLE,
  software: 70,
  noPermission: 77,
  config: EXIT_CONFIG,
} as const;

/** The configuration that takes its ports from the variables PORT and METRICS_PORT. */
const SHIPPED_FILE = 'config/default.yaml';

export interface StartFailure {
  /** Lines for stderr. */
  readonly lines: readonly string[];
  readonly exitCode: number;
  /** Whether the failure is a bug, so that the stack is needed. */
  readonly isBug: boolean;
}

/**
 * Addresses of the listeners, to name the key to change. Unknown before the configuration is read.
 */
export interface Listeners {
  readonly configPath: string;
  readonly app: { readonly host: string; readonly port: number };
  readonly ops: { readonly host: string; readonly port: number };
}

class UnexpectedArgument extends Error {}

/**
 * Refuses arguments. If the gateway ignored them, it would start with another configuration than
 * its operator means.
 * @param args those after the name of the script
 * @throws UnexpectedArgument if there is one
 */
export function refuseArguments(args: readonly string[]): void {
  const [first] = args;
  if (first === undefined) return;
  // Name a long option without its value, and no other argument: the rest may be a secret.
  const name = first.startsWith('--') ? `unknown option ${first.replace(/=.*/su, '')}` : 'unexpected argument';
  throw new UnexpectedArgument(
    `unable to start; ${name}; name the configuration file in the variable CONFIG_PATH, all else is set in that file; for other commands see: npx sluice --help`,
  );
}

export function startFailure(thrown: unknown, listeners?: Listeners): StartFailure {
  if (thrown instanceof UnexpectedArgument) return failure(EXIT.usage, [thrown.message]);
  if (thrown instanceof StartMistake)
    return startFailure(new ConfigError(listeners?.configPath ?? 'file', [thrown.mistake]));
  if (thrown instanceof ConfigError) return failure(EXIT.config, thrown.message.split('\n'));
  if (thrown instanceof PackLoadError || thrown instanceof GuardrailMistake)
    return failure(EXIT.config, thrown.message.split('\n'));
  if (thrown instanceof SluiceError) {
    // At start only the configured default prompt can be missing.
    if (thrown.code === 'prompt_not_found')
      return failure(EXIT.config, [`${thrown.message} (\`middleware.template.default\`)`]);
    const hint =
      thrown.code === 'state_unavailable'
        ? ` (\`${thrown.param ?? 'state'}\` in ${listeners?.configPath ?? 'the configuration'})`
        : '';
    return failure(EXIT.unavailable, [`${thrown.message}${hint}`]);
  }
  if (isListenError(thrown)) return listenFailure(thrown, listeners);
  return {
    lines: ['unable to start; unexpected error; report the stack below'],
    exitCode: EXIT.software,
    isBug: true,
  };
}

interface ListenError {
  readonly code: string;
  readonly port: number;
  readonly address?: string;
}

function isListenError(thrown: unknown): thrown is ListenError {
  return (
    typeof thrown === 'object' &&
    thrown !== null &&
    'syscall' in thrown &&
    (thrown.syscall === 'listen' || thrown.syscall === 'getaddrinfo') &&
    'code' in thrown
  );
}

function listenFailure(error: ListenError, listeners: Listeners | undefined): StartFailure {
  const at = where(error, listeners);
  switch (error.code) {
    case 'EADDRINUSE':
      return failure(EXIT.unavailable, [
        `unable to start; port ${error.port} is taken by another program; end that program, or ${at.anotherPort}`,
      ]);
    case 'EACCES':
      return failure(EXIT.noPermission, [
        `unable to start; this user may not listen on port ${error.port}; ${at.change('port')} to one above 1023`,
      ]);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return failure(EXIT.config, [
        `unable to start; this machine has no address ${at.host ?? error.address ?? ''}; ${at.change('host')}`,
      ]);
    default:
      return failure(EXIT.unavailable, [
        `unable to start; listening on port ${error.port} failed (${error.code}); ${at.change('port')}`,
      ]);
  }
}

/**
 * Finds the listener that failed. A listen error carries its port, a failed look-up only the host
 * name.
 */
function where(error: ListenError & { readonly hostname?: string }, listeners: Listeners | undefined) {
  if (listeners === undefined)
    return { host: undefined, change: (key: string) => `change the ${key}`, anotherPort: 'change the port' };
  const isOps = error.port === undefined ? error.hostname === listeners.ops.host : error.port === listeners.ops.port;
  const both = listeners.app.port === listeners.ops.port;
  const section = isOps && !both ? 'monitoring.metrics' : 'app';
  const change = (key: string) => `change \`${section}.${key}\` in ${listeners.configPath}`;
  return {
    host: isOps ? listeners.ops.host : listeners.app.host,
    change,
    anotherPort:
      listeners.configPath === SHIPPED_FILE
        ? `start on others: PORT=${listeners.app.port + 1} METRICS_PORT=${listeners.ops.port + 1} npm start`
        : change('port'),
  };
}

function failure(exitCode: number, lines: readonly string[]): StartFailure {
  return { lines: lines.map(scrub), exitCode, isBug: false };
}
