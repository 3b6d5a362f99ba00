/* The parts of the process that commands use. */

import { type Env } from '../config/read-yaml.js';

export interface CliContext {
  readonly env: Env;
  readonly cwd: string;
  readonly input: AsyncIterable<string | Uint8Array>;
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
}
