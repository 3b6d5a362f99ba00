/* Names the key of the configuration for a start that Redis refuses. */

import { StartMistake } from '../config/config-error.js';
import { type AppConfig } from '../config/schema.js';
import { RedisStartError, type StartSubject } from '../state/redis/connection/start-error.js';
import { SluiceError } from '../domain/errors.js';

/** @returns the error to report, with the key to change */
export function stateStartError(thrown: unknown, { state }: AppConfig): unknown {
  if (!(thrown instanceof RedisStartError)) return thrown;
  if (thrown.subject === 'database') return new StartMistake({ path: 'state.db', problem: thrown.message });
  const param = keyOf(thrown.subject, state);
  return new SluiceError('state_unavailable', thrown.message, { cause: thrown.cause, retryable: false, param });
}

function keyOf(subject: StartSubject, state: AppConfig['state']): string {
  switch (subject) {
    case 'address':
      return 'state.url';
    case 'mode':
      return 'state.mode';
    case 'tls':
      return 'state.url, state.tls';
    case 'credentials':
      if (state.password_file !== null) return `state.password_file: ${state.password_file}`;
      return state.password_env === null ? 'state.password_env' : `state.password_env: ${state.password_env}`;
    case 'sentinels':
      return 'state.sentinel_password_env';
    default:
      return 'state';
  }
}
