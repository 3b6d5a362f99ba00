/* Asks the gateway beside this process whether it lives: the container's own health check, without a shell or another program. */

import { loadConfig } from '../config/load.js';
import { type CliContext } from './context.js';

/** Under the 3 s that the container gives it. */
const ANSWER_WITHIN_MS = 2_500;

/** 0: it answers as healthy; 1: it does not. */
export async function checkHealth({ env, cwd, print, complain }: CliContext): Promise<number> {
  const { config } = loadConfig({ env, cwd, missingSecrets: 'warning' });
  const { host, port } = config.monitoring.metrics;
  const url = `http://${reachable(host)}:${port}/health`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.ok) {
      print('healthy');
      return 0;
    }
    complain(`unable to call the gateway healthy; ${url} answered ${answer.status}`);
  } catch {
    complain(`unable to reach the gateway; ${url} did not answer within ${ANSWER_WITHIN_MS} ms`);
  }
  return 1;
}

/** "Every address" is listened on, not connected to. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
