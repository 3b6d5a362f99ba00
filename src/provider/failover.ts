/*
 * Several providers for one answer. The next in line is asked at once when one fails before its first delta, and beside it when one is silent
 * for too long; the first to deliver wins and the others are aborted. After the first delta nothing is ever asked again.
 */

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { systemTime, type Time } from '../domain/time.js';
import { begin, type Begun, handedStream } from './handed-stream.js';
import { Overtaken } from './overtaken.js';
import { type HedgeBudget } from './hedge-budget.js';
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
  /** Null: `from` was silent, and `to` is asked beside it. */
  readonly code: ErrorCode | null;
}

export interface FailoverOptions {
  /** Whether a failure moves a call on to the next provider. Default: every failure. */
  readonly movesOn?: (error: SluiceError) => boolean;
  /** Silence in milliseconds after which the next is asked beside. Absent: never. */
  readonly hedgeAfterMs?: number;
  readonly hedges?: HedgeBudget;
  readonly onFailover?: (event: FailoverEvent) => void;
  readonly time?: Time;
}

export class FailoverProvider extends Provider {
  readonly #candidates: readonly FailoverCandidate[];
  readonly #options: FailoverOptions;

  /** In the order in which they are asked; at least one. */
  constructor(candidates: readonly FailoverCandidate[], options: FailoverOptions = {}) {
    super();
    this.#candidates = candidates;
    this.#options = options;
  }

  /** Where all fail, throws the first failure that may be tried again, else the last. */
  override stream(request: ProviderRequest, signal: AbortSignal): AsyncIterable<ProviderPart> {
    return handedStream(() => {
      this.#options.hedges?.called();
      return new Race(this.#candidates, this.#options, request, signal).run();
    });
  }
}

interface Entrant {
  readonly candidate: FailoverCandidate;
  readonly request: ProviderRequest;
  readonly abort: AbortController;
  /** Whether it was silent for so long that the next was asked beside it. */
  silent: boolean;
}

/** One call over all candidates, up to its first delta. */
class Race {
  readonly #time: Time;
  readonly #outcome = Promise.withResolvers<Begun>();
  readonly #running = new Set<Entrant>();
  readonly #failures: SluiceError[] = [];
  #next = 0;
  #over = false;
  #cancelTimer = (): void => undefined;

  constructor(
    readonly candidates: readonly FailoverCandidate[],
    readonly options: FailoverOptions,
    readonly request: ProviderRequest,
    readonly signal: AbortSignal,
  ) {
    this.#time = options.time ?? systemTime;
  }

  run(): Promise<Begun> {
    if (this.candidates.length === 0) throw noProvider();
    this.#ask();
    return this.#outcome.promise;
  }

  /** Asks the next in line. Only called where there is one. */
  #ask(): void {
    const candidate = this.candidates[this.#next++];
    if (candidate === undefined) return;
    const { name: _, provider, model } = candidate;
    const request = model === undefined ? this.request : { ...this.request, model };
    const entrant: Entrant = { candidate, request, abort: new AbortController(), silent: false };
    const onAbort = (): void => entrant.abort.abort(this.signal.reason);
    if (this.signal.aborted) onAbort();
    else this.signal.addEventListener('abort', onAbort, { once: true });
    const forget = (): void => this.signal.removeEventListener('abort', onAbort);
    this.#running.add(entrant);
    this.#arm(entrant);
    begin(provider.stream(request, entrant.abort.signal)).then(
      (begun) => this.#won(entrant, begun, forget),
      (error: unknown) => {
        forget();
        this.#lost(entrant, error);
      },
    );
  }

  /** While this candidate is silent, the next may be asked beside it. */
  #arm(entrant: Entrant): void {
    this.#cancelTimer();
    const { hedgeAfterMs, hedges, onFailover } = this.options;
    const next = this.candidates[this.#next];
    if (hedgeAfterMs === undefined || next === undefined) return;
    this.#cancelTimer = this.#time.after(hedgeAfterMs, () => {
      if (this.#over || this.signal.aborted || hedges?.take() === false) return;
      entrant.silent = true;
      onFailover?.({ from: entrant.candidate.name, to: next.name, code: null });
      this.#ask();
    });
  }

  #won(entrant: Entrant, begun: Begun, forget: () => void): void {
    this.#running.delete(entrant);
    if (this.#over) {
      // Two began in the same moment; the other was taken.
      forget();
      void Promise.resolve(begun.rest.return?.()).catch(() => undefined);
      return;
    }
    this.#end();
    const lost = [...this.#running].map(({ candidate, request }) => ({
      provider: candidate.name,
      model: request.model,
    }));
    for (const { abort, silent } of this.#running) abort.abort(new Overtaken(silent));
    const parts =
      lost.length === 0 ? begun.parts : begun.parts.map((part) => (part.type === 'start' ? { ...part, lost } : part));
    this.#outcome.resolve({ ...begun, parts, onEnd: forget, onReturn: forget });
  }

  #lost(entrant: Entrant, error: unknown): void {
    this.#running.delete(entrant);
    if (this.#over) return;
    // A cancel, and what is no failure of the provider, is nothing that another provider could do better.
    if (this.signal.aborted || !(error instanceof SluiceError)) return this.#fail(error);
    this.#failures.push(error);
    const { movesOn = () => true, onFailover } = this.options;
    if (!movesOn(error)) return this.#fail(error);
    const next = this.candidates[this.#next];
    if (next !== undefined) {
      onFailover?.({ from: entrant.candidate.name, to: next.name, code: error.code });
      this.#ask();
    } else if (this.#running.size === 0) {
      this.#fail(this.#failures.find((failure) => failure.retryable) ?? this.#failures.at(-1) ?? noProvider());
    }
  }

  #fail(error: unknown): void {
    this.#end();
    for (const { abort } of this.#running) abort.abort(error);
    // Handed on as it is: the reason of an abort may be anything.
    this.#outcome.reject(error);
  }

  #end(): void {
    this.#over = true;
    this.#cancelTimer();
  }
}

function noProvider(): SluiceError {
  return new SluiceError('server_error', 'unable to get an answer; no provider is configured; tell the operator');
}
