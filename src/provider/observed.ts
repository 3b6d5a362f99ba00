/* Reports every failed call to a provider, for metrics. Changes nothing. */

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { readOpening, streamFromOpening } from './stream-opening.js';
import { Provider, type ProviderPart, type ProviderRequest } from './provider.js';

export class ObservedProvider extends Provider {
  readonly #inner: Provider;
  readonly #onError: (code: ErrorCode) => void;

  constructor(inner: Provider, onError: (code: ErrorCode) => void) {
    super();
    this.#inner = inner;
    this.#onError = onError;
  }

  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    const report = (error: unknown): void => {
      const code = error instanceof SluiceError ? error.code : 'server_error';
      // Cancels are not failures; an abort by the time limit of the whole call is.
      if (!signal.aborted || code === 'provider_timeout') this.#onError(code);
    };
    return streamFromOpening(async () => {
      try {
        const opened = await readOpening(this.#inner.stream(request, signal));
        return { ...opened, onEnd: (thrown) => thrown !== undefined && report(thrown.error) };
      } catch (error) {
        report(error);
        throw error;
      }
    });
  }
}
