/*
 * Reads a provider's stream beside the verdicts that guardrails wait for: text that a verdict
 * releases is written when it arrives, and not with the provider's next part. Used only if some
 * guardrail takes time, so that other turns pay no promise for it.
 */

import { type ProviderPart } from '../provider/provider.js';

/** A verdict has arrived: more text may be written. */
export interface VerdictPart {
  readonly type: 'verdict';
}

export interface AwaitedGuard {
  readonly held: number;
  waiting(): Promise<unknown> | undefined;
  conclude(part: ProviderPart): Promise<boolean>;
}

const VERDICT: VerdictPart = { type: 'verdict' };

/**
 * @param holdMax code units of held text beyond which the provider is not read until a verdict
 * arrives
 */
export async function* withVerdicts(
  parts: AsyncIterable<ProviderPart>,
  guard: AwaitedGuard,
  holdMax: number,
): AsyncGenerator<ProviderPart | VerdictPart> {
  const source = parts[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<ProviderPart>> | undefined;
  try {
    for (;;) {
      const waiting = guard.waiting();
      if (waiting === undefined || guard.held < holdMax) next ??= source.next();
      const verdict = waiting?.then(() => VERDICT);
      const first = await Promise.race([...(next ? [next] : []), ...(verdict ? [verdict] : [])]);
      if ('type' in first) {
        yield first;
        continue;
      }
      next = undefined;
      if (first.done === true) return;
      if (await guard.conclude(first.value)) yield VERDICT;
      yield first.value;
    }
  } finally {
    // Errors of a stream that is left change no outcome.
    next?.catch(() => undefined);
    source.return?.().catch(() => undefined);
  }
}
