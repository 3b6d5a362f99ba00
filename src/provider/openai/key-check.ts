/* Asks a provider once, at start, whether it takes the gateway's key, so that a wrong one is told to who gave it and not to the first user. */

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
