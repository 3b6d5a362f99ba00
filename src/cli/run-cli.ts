/*
 * Parses the command line and runs the command, whose code is loaded only then. Exit codes: 0
 * success, 64 a wrong command, 78 a wrong configuration.
 */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type CliContext } from './context.js';
import { PACKS_HELP } from './packs-help.js';

const EXIT_USAGE = 64;

const HELP = `Usage: sluice <command>

  config check [FILE] [--strict]   check a configuration file (default: CONFIG_PATH, then config/default.yaml)
                                   --strict: a secret that is not set here is a mistake, as it is at start
${PACKS_HELP}
  keys new                         make a server key, and the lines of configuration that accept it
  health                           check that the gateway on this machine is alive (exit code 0)
  keys hash                        read a server key from standard input, print its SHA-256 for key_sha256

  --help, --version

The gateway itself starts with: node dist/main.js`;

export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const options = {
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean' },
    strict: { type: 'boolean' },
  } as const;
  if (argv[0] === 'packs' && !argv.includes('--help') && !argv.includes('-h')) {
    const { runPacks } = await import('./packs.js');
    const code = await runPacks(argv.slice(1), context);
    return typeof code === 'number' ? code : misused(code, context);
  }
  let parsed;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    return misused(error instanceof Error ? error.message : 'unknown arguments', context);
  }
  const { values, positionals } = parsed;
  if (values.version) {
    context.print(packageVersion());
    return 0;
  }
  if (values.help || positionals.length === 0) {
    context.print(HELP);
    return values.help ? 0 : EXIT_USAGE;
  }
  const [group, command, ...rest] = positionals;
  const name = [group, command].filter(Boolean).join(' ');
  if (name === 'config check' && rest.length <= 1) {
    const { checkConfig } = await import('./config-check.js');
    return checkConfig(rest[0], values.strict ?? false, context);
  }
  if (name === 'health') {
    const { checkHealth } = await import('./health.js');
    return checkHealth(context);
  }
  if (values.strict) return misused('--strict belongs to `config check`', context);
  if (group === 'keys' && rest.length === 0) {
    const { hashKey, newKey } = await import('./keys.js');
    if (command === 'new') return newKey(context);
    if (command === 'hash') return hashKey(context);
  }
  return misused(`there is no command \`${positionals.join(' ')}\``, context);
}

function misused(why: string, { complain }: CliContext): number {
  complain(`unable to run; ${why}; \`sluice --help\` lists the commands`);
  return EXIT_USAGE;
}

/** Reads the version of this package. src/cli and dist/cli are equally deep. */
function packageVersion(): string {
  const content: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return typeof content === 'object' && content !== null && 'version' in content ? String(content.version) : 'unknown';
}
