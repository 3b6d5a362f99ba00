/* Asks a provider once, at start, whether it accepts the gateway's key, so that the operator learns of a wrong key before the first user does. */

export interface KeyCheckOptions {
  /** Up to and including `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly timeoutMs: number;
}

/** True only where the provider says so plainly (HTTP 401): one that is away, slow or different is no reason not to start. */
export async function keyIsRefused({ baseUrl, apiKey, timeoutMs }: KeyCheckOptions): Promise<boolean> {
  try {
    const response = await fetch(`${baseUrl}/models`, {
      headers: { authorization: `Bearer ${apiKey}` },
      // A key goes to the address that was given, and nowhere else.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    return response.status === 401;
  } catch {
    return false;
  }
}
