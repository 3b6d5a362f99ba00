/* Builds the authenticator that the configuration describes. */

import { createPublicKey } from 'node:crypto';
import { AnonymousAuthenticator } from '../auth/anonymous-authenticator.js';
import { type Authenticator } from '../auth/authenticator.js';
import { CredentialAuthenticator, type CredentialForm } from '../auth/credential-authenticator.js';
import { KeysAuthenticator } from '../auth/keys-authenticator.js';
import { type TokenOptions } from '../auth/tokens/token-authenticator.js';
import { UnrevokedAuthenticator } from '../auth/revocations.js';
import { ClientSecrets } from '../auth/secrets/client-secrets.js';
import { SecretAuthenticator } from '../auth/secrets/secret-authenticator.js';
import { isClientSecret } from '../auth/secrets/secret-value.js';
import { type AppConfig } from '../config/schema.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';
import { type State } from '../state/state.js';
import { type PromptRegistry } from '../templating/registry.js';
import { TurnPrompts } from '../turn/turn-prompts.js';
import { admissionPolicy } from './settings.js';

export interface AuthenticationParts {
  readonly logger: Log;
  readonly metrics: Metrics;
  readonly state: Pick<State, 'credentials' | 'conversations'>;
}

export async function composeAuthenticator({ auth }: AppConfig, parts: AuthenticationParts): Promise<Authenticator> {
  const secrets = { fits: isClientSecret, authenticator: new SecretAuthenticator(parts.state.credentials) };
  if (auth.mode === 'none') return new CredentialAuthenticator([secrets], new AnonymousAuthenticator());
  return new CredentialAuthenticator([secrets, ...(await tokens(auth, parts))], new KeysAuthenticator(auth.keys));
}

/** Builds the service that makes client secrets. */
export function composeClientSecrets(
  config: AppConfig,
  state: Pick<State, 'credentials' | 'conversations'>,
  prompts: Pick<PromptRegistry, 'find'>,
): ClientSecrets {
  const { auth, limits } = config;
  const turnPrompts = new TurnPrompts(prompts, admissionPolicy(config));
  return new ClientSecrets({
    store: state.credentials,
    conversations: state.conversations,
    checkPrompt: (user, prompt) => {
      const request = { input: [], store: true, background: false, prompt };
      turnPrompts.render(user, request, config.provider.model);
    },
    ttlMs: auth.client_secrets.ttl,
    classes: new Set(Object.keys(limits.classes)),
  });
}

/** Loads the code that verifies tokens only if tokens are configured. */
async function tokens(
  { mode, jwt }: AppConfig['auth'],
  { logger, metrics, state }: AuthenticationParts,
): Promise<readonly CredentialForm[]> {
  if (mode !== 'jwt' || jwt === null) return [];
  const { isToken, TokenAuthenticator } = await import('../auth/tokens/token-authenticator.js');
  const { issuer, audience, algorithms, claims, tenant, clock_tolerance: clockToleranceMs } = jwt;
  const authenticator = new TokenAuthenticator({
    key: await keyOf(jwt, { logger, metrics }),
    issuer,
    audience,
    algorithms,
    claims,
    tenant,
    clockToleranceMs,
    onRefused: (reason) => {
      metrics.of.tokens_refused_total.inc({ reason });
      logger.debug({ reason }, 'token refused');
    },
  });
  return [{ fits: isToken, authenticator: new UnrevokedAuthenticator(authenticator, state.credentials) }];
}

async function keyOf(
  { public_key: pem, jwks_url: url }: NonNullable<AppConfig['auth']['jwt']>,
  { logger, metrics }: Pick<AuthenticationParts, 'logger' | 'metrics'>,
): Promise<TokenOptions['key']> {
  if (pem !== null) return createPublicKey(pem);
  const { IssuerKeys } = await import('../auth/tokens/issuer-keys.js');
  const keys = new IssuerKeys({
    // The configuration has checked that one of the two is given.
    url: url ?? '',
    onFetched: (outcome, why) => {
      metrics.of.issuer_key_fetches_total.inc({ outcome });
      if (outcome === 'failed') {
        logger.warn({ reason: why }, 'issuer keys not fetched');
      }
    },
  });
  keys.warm();
  return keys.find;
}
