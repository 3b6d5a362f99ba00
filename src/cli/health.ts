/* Checks the health of the gateway in the same container, without a shell or another program. */

import { loadConfig } from '../config/load.js';
import { PROVIDER_TYPES } from '../provider/registry.js';
import { type CliContext } from './context.js';

/** Less than the 3 s that the container allows. */
const ANSWER_WITHIN_MS = 2_500;

/** @returns exit code 0 if the gateway is healthy, otherwise 1 */
export async function checkHealth({ env, cwd, print, complain }: CliContext): Promise<number> {
  const { config } = loadConfig({ types: PROVIDER_TYPES, env, cwd, missingSecrets: 'warning' });
  const { host, port } = config.monitoring.metrics;
  const url = `http://${reachable(host)}:${port}/health`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    if (answer.ok) {
      print('healthy');
      return 0;
    }
    complain(`unable to confirm the health of the gateway; ${url} answered ${answer.status}`);
  } catch {
    complain(`unable to reach the gateway; ${url} did not answer within ${ANSWER_WITHIN_MS} ms`);
  }
  return 1;
}

/** Returns a host to connect to: a wildcard address becomes loopback. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
