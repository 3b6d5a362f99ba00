/* Builds the authenticator that the configuration describes. */

import { createPublicKey } from 'node:crypto';
import { AnonymousAuthenticator } from '../auth/anonymous-authenticator.js';
import { type Authenticator } from '../auth/authenticator.js';
import { CredentialAuthenticator, type CredentialForm } from '../auth/credential-authenticator.js';
import { KeysAuthenticator } from '../auth/keys-authenticator.js';
import { IssuerKeys } from '../auth/tokens/issuer-keys.js';
import { isToken, TokenAuthenticator, type TokenOptions } from '../auth/tokens/token-authenticator.js';
import { type AppConfig } from '../config/schema.js';
import { type Log } from '../observability/log.js';
import { type Metrics } from '../observability/metrics.js';

export interface AuthenticationParts {
  readonly logger: Log;
  readonly metrics: Metrics;
}

export function composeAuthenticator({ auth }: AppConfig, parts: AuthenticationParts): Authenticator {
  if (auth.mode === 'none') return new AnonymousAuthenticator();
  return new CredentialAuthenticator(tokens(auth, parts), new KeysAuthenticator(auth.keys));
}

function tokens({ mode, jwt }: AppConfig['auth'], { logger, metrics }: AuthenticationParts): readonly CredentialForm[] {
  if (mode !== 'jwt' || jwt === null) return [];
  const { issuer, audience, algorithms, claims, tenant, clock_tolerance: clockToleranceMs } = jwt;
  const authenticator = new TokenAuthenticator({
    key: keyOf(jwt, { logger, metrics }),
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
  return [{ fits: isToken, authenticator }];
}

function keyOf(
  { public_key: pem, jwks_url: url }: NonNullable<AppConfig['auth']['jwt']>,
  { logger, metrics }: AuthenticationParts,
): TokenOptions['key'] {
  if (pem !== null) return createPublicKey(pem);
  const keys = new IssuerKeys({
    // The configuration has checked that one of the two is given.
    url: url ?? '',
    onFetched: (outcome, why) => {
      metrics.of.issuer_key_fetches_total.inc({ outcome });
      if (outcome === 'failed') {
        logger.warn({ reason: why }, 'issuer keys not fetched; tokens with unknown keys are refused');
      }
    },
  });
  keys.warm();
  return keys.find;
}
