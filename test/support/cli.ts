/* Runs a command of `sluice` in this process: the arguments in, its output and exit code out. */

import { runCli } from '../../src/cli/run-cli.js';

export interface CliInput {
  /** Folder in which the command runs. */
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Text on standard input. */
  readonly stdin?: string;
}

export interface CliResult {
  readonly code: number;
  /** The lines of standard output. */
  readonly out: string;
  /** The lines of standard error. */
  readonly err: string;
}

export async function runCommand(argv: readonly string[], { cwd, env = {}, stdin = '' }: CliInput): Promise<CliResult> {
  const [out, err]: [string[], string[]] = [[], []];
  async function* input() {
    yield stdin;
  }
  const code = await runCli(argv, {
    env,
    cwd,
    input: input(),
    print: (line) => void out.push(line),
    complain: (line) => void err.push(line),
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}
