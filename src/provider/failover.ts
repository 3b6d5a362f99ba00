/* Several providers for one answer: the next is asked where one failed before its first delta. After it never. */

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { begin, handedStream } from './handed-stream.js';
import { Provider, type ProviderPart, type ProviderRequest } from './provider.js';

export interface FailoverCandidate {
  readonly name: string;
  readonly provider: Provider;
  /** What this provider calls the model; absent: the model of the request. */
  readonly model?: string;
}

export interface FailoverEvent {
  readonly from: string;
  readonly to: string;
  readonly code: ErrorCode;
}

export class FailoverProvider extends Provider {
  readonly #candidates: readonly FailoverCandidate[];
  readonly #onFailover: (event: FailoverEvent) => void;

  /** In the order in which they are asked; at least one. */
  constructor(candidates: readonly FailoverCandidate[], onFailover: (event: FailoverEvent) => void = () => undefined) {
    super();
    this.#candidates = candidates;
    this.#onFailover = onFailover;
  }

  /** Where all fail, throws the first failure that may be tried again, else the last. */
  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return handedStream(async () => {
      const failures: SluiceError[] = [];
      for (const [i, { name, provider, model }] of this.#candidates.entries()) {
        try {
          return await begin(provider.stream(model === undefined ? request : { ...request, model }, signal));
        } catch (error) {
          // A cancel, and what is no failure of the provider's, is nothing that another one could do better.
          if (signal.aborted || !(error instanceof SluiceError)) throw error;
          failures.push(error);
          const next = this.#candidates[i + 1];
          if (next !== undefined) this.#onFailover({ from: name, to: next.name, code: error.code });
        }
      }
      throw failures.find((failure) => failure.retryable) ?? failures.at(-1) ?? noProvider();
    });
  }
}

function noProvider(): SluiceError {
  return new SluiceError('server_error', 'unable to get an answer; no provider is configured; tell the operator');
}
