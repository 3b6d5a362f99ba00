/*
 * Calls a provider once at start to check the gateway's key, so that the operator learns of a wrong
 * key before the first user does.
 */

import { Agent, fetch } from 'undici';
import { type TlsCertificates } from '../wire/paced-socket.js';

export interface KeyCheckOptions {
  /** Up to and including `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly timeoutMs: number;
  readonly tls?: TlsCertificates;
}

/**
 * Returns true only if the provider refuses the key explicitly (HTTP 401). One that is unreachable,
 * slow or different must not prevent the start.
 */
export async function keyIsRefused({ baseUrl, apiKey, timeoutMs, tls = {} }: KeyCheckOptions): Promise<boolean> {
  const dispatcher = new Agent({ connect: { ...tls } });
  try {
    const response = await fetch(`${baseUrl}/models`, {
      headers: { authorization: `Bearer ${apiKey}` },
      // Never send the key to another address.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      dispatcher,
    });
    await response.body?.cancel();
    return response.status === 401;
  } catch {
    return false;
  } finally {
    await dispatcher.destroy();
  }
}
