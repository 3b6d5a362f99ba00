/*
 * Several providers for one answer. The next in line is called when one fails before its first
 * delta, and beside it when one is silent for too long. The first to deliver wins and the others
 * are aborted. After the first delta no further provider is called.
 */

import { type ErrorCode, SluiceError } from '../domain/errors.js';
import { type InputKind } from '../domain/media.js';
import { systemTime, type Time } from '../domain/time.js';
import { leave, openStream, ProviderLayer, type StreamOpening, watched, withStart } from './stream-opening.js';
import { Overtaken, type Provider, type ProviderRequest } from './provider.js';

export interface FailoverCandidate {
  readonly name: string;
  readonly provider: Provider;
  /** The name of the model at this provider. Absent: the model of the request. */
  readonly model?: string;
  /** Whether it takes this kind of input. Absent: it takes every kind. */
  readonly takes?: (model: string, kind: InputKind) => boolean;
}

export interface FailoverEvent {
  readonly from: string;
  readonly to: string;
  /** The failure of `from`. Null: `from` was silent, and `to` is called beside it. */
  readonly code: ErrorCode | null;
}

export interface FailoverOptions {
  /** Whether a failure moves the call to the next provider. Default: every failure. */
  readonly movesOn?: (error: SluiceError) => boolean;
  /**
   * Silence in milliseconds after which the next provider is called beside this one. Absent: never.
   */
  readonly hedgeAfterMs?: number;
  readonly hedges?: HedgeBudget;
  readonly onFailover?: (event: FailoverEvent) => void;
  readonly time?: Time;
}

export class FailoverProvider extends ProviderLayer {
  readonly #candidates: readonly FailoverCandidate[];
  readonly #options: FailoverOptions;

  /** @param candidates at least one, in the order in which they are called */
  constructor(candidates: readonly FailoverCandidate[], options: FailoverOptions = {}) {
    super();
    this.#candidates = candidates;
    this.#options = options;
  }

  /**
   * Calls the providers until one delivers. Rejects with the first retryable failure if all fail,
   * else with the last one.
   */
  override open(request: ProviderRequest, signal: AbortSignal): Promise<StreamOpening> {
    this.#options.hedges?.called();
    return new Race(this.#able(request), this.#options, request, signal).run();
  }

  /** Returns the candidates that take what the request contains. */
  #able(request: ProviderRequest): readonly FailoverCandidate[] {
    const { needs } = request;
    if (needs === undefined) return this.#candidates;
    return this.#candidates.filter(({ takes, model = request.model }) =>
      [...needs].every((kind) => takes?.(model, kind) ?? true),
    );
  }
}

interface Entrant {
  readonly candidate: FailoverCandidate;
  readonly request: ProviderRequest;
  /** Undefined: there is no other candidate that could deliver before it. */
  readonly abort: AbortController | undefined;
  /** Whether it was silent for so long that the next was called beside it. */
  silent: boolean;
}

/** One call over all candidates, up to its first delta. */
class Race {
  readonly #time: Time;
  readonly #outcome = Promise.withResolvers<StreamOpening>();
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

  run(): Promise<StreamOpening> {
    if (this.candidates.length === 0) return Promise.reject(noProvider());
    this.#callNext();
    return this.#outcome.promise;
  }

  /** Calls the next in line. The caller checks that there is one. */
  #callNext(): void {
    const candidate = this.candidates[this.#next++];
    if (candidate === undefined) return;
    const { name: _, provider, model } = candidate;
    const request = model === undefined ? this.request : { ...this.request, model };
    const abort = this.candidates.length === 1 ? undefined : new AbortController();
    const entrant: Entrant = { candidate, request, abort, silent: false };
    const forget = abort === undefined ? undefined : this.#forward(abort);
    this.#running.add(entrant);
    this.#arm(entrant);
    openStream(provider, request, abort?.signal ?? this.signal).then(
      (opened) => this.#won(entrant, opened, forget),
      (error: unknown) => {
        forget?.();
        this.#lost(entrant, error);
      },
    );
  }

  /** Aborts the call when the caller aborts. @returns what ends that */
  #forward(abort: AbortController): () => void {
    const onAbort = (): void => abort.abort(this.signal.reason);
    if (this.signal.aborted) onAbort();
    else this.signal.addEventListener('abort', onAbort, { once: true });
    return () => this.signal.removeEventListener('abort', onAbort);
  }

  /** Starts the timer that calls the next provider beside this candidate while it is silent. */
  #arm(entrant: Entrant): void {
    this.#cancelTimer();
    const { hedgeAfterMs, hedges, onFailover } = this.options;
    const next = this.candidates[this.#next];
    if (hedgeAfterMs === undefined || next === undefined) return;
    this.#cancelTimer = this.#time.after(hedgeAfterMs, () => {
      if (this.#over || this.signal.aborted || hedges?.take() === false) return;
      entrant.silent = true;
      onFailover?.({ from: entrant.candidate.name, to: next.name, code: null });
      this.#callNext();
    });
  }

  #won(entrant: Entrant, opened: StreamOpening, forget: (() => void) | undefined): void {
    this.#running.delete(entrant);
    if (this.#over) {
      // Two providers can deliver in the same tick. The other one has won, so this stream is
      // closed.
      forget?.();
      leave(opened).catch(() => undefined);
      return;
    }
    this.#end();
    const lost = [...this.#running].map(({ candidate, request }) => ({
      provider: candidate.name,
      model: request.model,
    }));
    for (const { abort, silent } of this.#running) abort?.abort(new Overtaken(silent));
    const isFallback = entrant.candidate !== this.candidates[0];
    const plain = lost.length === 0 && !isFallback;
    const answered = plain
      ? opened
      : withStart(opened, {
          ...(lost.length === 0 ? {} : { lost }),
          ...(isFallback ? { fallback: true } : {}),
        });
    this.#outcome.resolve(forget === undefined ? answered : watched(answered, { onEnd: forget, onReturn: forget }));
  }

  #lost(entrant: Entrant, error: unknown): void {
    this.#running.delete(entrant);
    if (this.#over) return;
    // No other provider can improve on a cancel, or on an error that is not the provider's.
    if (this.signal.aborted || !(error instanceof SluiceError)) return this.#fail(error);
    this.#failures.push(error);
    const { movesOn = () => true, onFailover } = this.options;
    if (!movesOn(error)) return this.#fail(error);
    const next = this.candidates[this.#next];
    if (next !== undefined) {
      onFailover?.({ from: entrant.candidate.name, to: next.name, code: error.code });
      this.#callNext();
    } else if (this.#running.size === 0) {
      this.#fail(this.#failures.find((failure) => failure.retryable) ?? this.#failures.at(-1) ?? noProvider());
    }
  }

  #fail(error: unknown): void {
    this.#end();
    for (const { abort } of this.#running) abort?.abort(error);
    // Rethrown unchanged: the reason of an abort may be any value.
    this.#outcome.reject(error);
  }

  #end(): void {
    this.#over = true;
    this.#cancelTimer();
  }
}

function noProvider(): SluiceError {
  return new SluiceError('server_error', 'unable to get an answer; no provider is configured; contact the operator');
}

/** Number of hedges allowed at once before the ratio applies. */
const BURST = 10;

/**
 * Bounds the share of hedges (calls made beside a silent one), so that a slow provider does not
 * double the total cost.
 */
export class HedgeBudget {
  readonly #ratio: number;
  #left: number;

  /** @param ratio hedges for each call, from 0 to 1; 0: none at all */
  constructor(ratio: number) {
    this.#ratio = ratio;
    this.#left = ratio === 0 ? 0 : BURST;
  }

  /** Counts a call: every call adds `ratio` hedges to the budget. */
  called(): void {
    this.#left = Math.min(BURST, this.#left + this.#ratio);
  }

  /**
   * Takes one hedge.
   * @returns whether one was left
   */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
